from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from haca3_bids.bids.record import read_session
from haca3_bids.errors import BadInput, Failure, Haca3Error
from haca3_bids.option import labels
from haca3_bids.records.engine import EngineResult, HarmonizedImage, SourceReport
from haca3_bids.records.files import Refusal, from_answer, from_json, to_json
from haca3_bids.records.preprocessing import Preprocessing, ScanFacts
from haca3_bids.records.session import DONE, FORMAT, Completion, Quality, SessionRecord
from haca3_bids.records.target import Target
from haca3_bids.settings import HarmonizationSettings

TARGET = Target("a", "T2w", (1.0, 2.0), (0.3, 0.5), 900.0, "numbers")
RECORD = SessionRecord(
    "01",
    status=DONE,
    preprocessing=Preprocessing("T1w", contrasts={"T1w": ScanFacts(remarks=("odd",), coverage=0.9)}),
    harmonization=EngineResult((HarmonizedImage(TARGET, {"T1w": SourceReport((1.0, 2.0), (0.1, 0.2))}),)),
    quality=Quality("pass", session={"brain_in_head": 0.99, "noise": None}),
    completion=Completion("f", targets={TARGET.key: TARGET}),
)


def test_a_record_survives_json() -> None:
    assert from_json(to_json(RECORD), SessionRecord) == RECORD


def test_numbers_of_numpy_are_numbers_and_what_is_not_finite_is_null() -> None:
    facts = ScanFacts(coverage=np.float32(0.5), white_matter_peak=np.float64("nan"))
    assert from_json(to_json(facts), ScanFacts) == ScanFacts(coverage=0.5)


def test_a_key_that_is_not_known_is_passed_over_and_one_that_is_missing_has_its_default(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text(json.dumps({"subject": "01", "harmonization": {}, "completion": {"inputs": {}}, "mood": "good"}))
    assert read_session(path) == SessionRecord("01", completion=Completion())


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"subject": "01", "format": FORMAT + 1})])
def test_a_record_that_this_version_does_not_understand_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "record.json").write_text(content)
    assert read_session(tmp_path / "record.json") is None


def test_the_result_holds_every_setting_that_is_reported() -> None:
    assert labels(HarmonizationSettings).keys() <= {one.name for one in fields(EngineResult)}


def test_an_error_crosses_processes_with_its_class() -> None:
    with pytest.raises(BadInput) as caught:
        from_answer(to_json(Refusal(BadInput("It is flat.", "Look.").failure())), EngineResult)
    assert (caught.value.sentence, caught.value.hint) == ("It is flat.", "Look.")
    assert type(Failure("x", kind="json").error()) is Haca3Error
