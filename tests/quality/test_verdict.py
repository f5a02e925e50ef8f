from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from haca3_bids.errors import Failure, UsageError
from haca3_bids.quality.thresholds import THRESHOLDS, with_changes
from haca3_bids.quality.verdict import judge, judged_again, record_judged_again
from haca3_bids.records.files import to_json
from haca3_bids.records.preprocessing import Preprocessing, Registration, ScanFacts, ScanQuality
from haca3_bids.records.session import DONE, Quality, SessionRecord

GOOD_SCAN = {"brain_seen": 0.99, "noise": 0.02, "ghosts": 0.002, "name_margin": 1.0, "likely_contrast": "T1w"}
REGISTRATION = {"similarity": 0.7, "distinctness": 0.3, "brain_in_head": 1.0, "brain_covered": 1.0}


def record(**changes: Any) -> Preprocessing:
    scans = {"T1w": ScanFacts(coregistration_similarity=1.0, quality=ScanQuality(**(GOOD_SCAN | changes)))}
    return Preprocessing("T1w", registration=Registration(**REGISTRATION), contrasts=scans)


def test_a_good_session_passes_without_a_reason() -> None:
    verdict = judge(record(), {"haca3_T1w": {"ssim": 0.9, "nan_count": 0}})
    assert (verdict.verdict, verdict.reasons) == ("pass", ())


def test_the_worst_reason_makes_the_verdict_and_comes_first() -> None:
    verdict = judge(record(noise=0.15, brain_seen=0.4), {})
    assert verdict.verdict == "fail"
    assert [reason.measure for reason in verdict.reasons] == ["brain_seen", "noise"]
    assert verdict.reasons[0].sentence.startswith("T1w: part of the brain is not visible (brain seen 0.4")


@pytest.mark.parametrize(
    "threshold", [one for one in THRESHOLDS.values() if one.place == "scan"], ids=lambda t: t.measure
)
def test_a_value_beyond_a_limit_is_marked_and_one_on_it_is_not(threshold: Any) -> None:
    for grade, limit in (("look", threshold.look), ("fail", threshold.fail)):
        if limit is not None:
            beyond = limit + (1e-6 if threshold.above else -1e-6)
            assert threshold.grade(beyond) == (grade, limit)
            assert threshold.grade(limit)[0] != grade


def test_a_swapped_name_says_what_the_image_looks_like() -> None:
    (reason,) = judge(record(name_margin=-1.0, likely_contrast="T2w"), {}).reasons
    assert "it looks like T2w" in reason.sentence


@pytest.mark.parametrize(("degrees", "verdict"), [(60.0, "pass"), (173.0, "look")])
def test_a_head_that_its_header_does_not_show_upright_does_not_pass(degrees: float, verdict: str) -> None:
    judged = judge(replace(record(), registration=Registration(**REGISTRATION, rotation_deg=degrees)), {})
    assert judged.verdict == verdict
    assert all("left and right are uncertain" in reason.sentence for reason in judged.reasons)


def test_the_reference_is_not_judged_by_its_registration_to_itself() -> None:
    block = judge(record(), {})
    assert "coregistration_similarity" not in block.scans["T1w"]


def test_other_limits_change_the_verdict_and_are_noted() -> None:
    block = judge(record(), {})
    strict = judged_again(block, [("noise", 0.01, None)])
    assert (block.verdict, strict.verdict) == ("pass", "look")
    assert strict.thresholds_changed == (("noise", 0.01, None),)
    assert strict.scans == block.scans


def test_a_limit_can_be_taken_away() -> None:
    assert judge(record(noise=9.0), {}, [("noise", None, None)]).verdict == "pass"


def test_a_measure_that_does_not_exist_is_an_error_of_usage() -> None:
    with pytest.raises(UsageError, match="nois"):
        with_changes([("nois", 1.0, None)])


def test_a_record_without_numbers_still_gets_a_verdict() -> None:
    assert json.loads(to_json(judge(Preprocessing(), {})))["verdict"] == "pass"


def test_a_voxel_that_is_no_number_fails_the_session() -> None:
    assert judge(record(), {"haca3_T1w": {"nan_count": 1}}).verdict == "fail"


def test_a_later_failure_comes_first_and_makes_no_verdict_better() -> None:
    good = SessionRecord("01", status=DONE, error=Failure("It broke."))
    assert record_judged_again(good, ()).verdict == "look"
    judged = record_judged_again(replace(good, quality=Quality(session={"brain_in_head": 0.5})), ())
    assert (judged.verdict, [one.measure for one in judged.quality.reasons]) == ("fail", ["error", "brain_in_head"])
    assert record_judged_again(judged, ()) == judged
