from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from haca3_bids.bids.describe import claim_targets
from haca3_bids.bids.sidecars import harmonized_sidecar, preproc_sidecar
from haca3_bids.errors import CannotCreate
from haca3_bids.physics.tissues import TISSUES
from haca3_bids.preprocessing.session import spline_order
from haca3_bids.records.engine import EngineResult, HarmonizedImage, SourceReport, WeightsUsed
from haca3_bids.records.files import to_json
from haca3_bids.records.preprocessing import Acquisition, Preprocessing, Registration, ScanFacts
from haca3_bids.records.target import Target
from haca3_bids.settings import PreprocessingSettings
from haca3_bids.workflows.preprocess import methods


def test_a_poor_alignment_that_was_let_pass_is_told_and_a_good_one_is_not() -> None:
    good = Preprocessing(contrasts={"T2w": ScanFacts()}, registration=Registration())
    assert "RegistrationProblem" not in preproc_sidecar("T2w", good, {})
    scans = {"T2w": ScanFacts(coregistration_problem="poor T2w")}
    own = Preprocessing(contrasts=scans, registration=Registration(problem="poor head"))
    assert preproc_sidecar("T2w", own, {})["RegistrationProblem"] == "poor T2w"
    assert preproc_sidecar("T1w", own, {})["RegistrationProblem"] == "poor head"


@pytest.mark.parametrize(("sloppy", "named"), [(False, "one cubic B-spline,"), (True, "one linear interpolation,")])
def test_the_sidecar_and_the_methods_name_the_interpolation_that_was_used(sloppy: bool, named: str) -> None:
    settings = PreprocessingSettings(sloppy=sloppy)
    facts = ScanFacts(acquisition=Acquisition(2, 1.0, 1.0, False), spline_order=spline_order(settings))
    found = preproc_sidecar("T1w", Preprocessing(contrasts={"T1w": facts}), {})
    assert str(found["Interpolation"]).startswith(named)
    assert ("linearly" in methods(settings), "--sloppy" in methods(settings)) == (sloppy, sloppy)


def harmonized(theta: list[float], eta: list[float], variant: str, **said: Any) -> dict[str, Any]:
    own = SourceReport(tuple(theta), tuple(eta), 1.0, brain_covered=0.9, **said)
    image = HarmonizedImage(Target("", "T1w", tuple(theta), tuple(eta), 1000.0, "x"), {"T1w": own})
    result = EngineResult(weights=WeightsUsed("w", variant=variant), beta="soft")
    return json.loads(to_json(harmonized_sidecar(image, result)))


def test_a_table_stands_in_the_sidecar_by_the_names_of_its_tissues() -> None:
    table = [0.1 * index + 0.00004 for index in range(len(TISSUES))]
    found = harmonized(table, [0.12346], "mixture", residual=0.04, looks_like="T2w", slice_width=3.0)
    source = found["SourceContrasts"]["T1w"]
    assert source["Theta"] == found["Target"]["Theta"] == {name: round(0.1 * i, 4) for i, name in enumerate(TISSUES)}
    assert (source["Eta"], source["Residual"], source["LooksLike"], source["SliceWidth"]) == (0.1235, 0.04, "T2w", 3.0)
    assert (found["Model"], found["Anatomy"]) == ("mixture", "soft")
    assert "mixture model" in found["Description"]
    assert "FusionWeights" not in found


def test_the_numbers_of_haca3_stand_in_the_sidecar_as_they_are() -> None:
    found = harmonized([1.0, 2.0], [0.3, 0.5], "haca3plus")
    source = found["SourceContrasts"]["T1w"]
    assert source == {"Theta": [1.0, 2.0], "Eta": [0.3, 0.5], "Attention": 1.0, "BrainCovered": 0.9}
    assert found["Model"] == "haca3plus"
    assert found["Target"]["Theta"] == [1.0, 2.0]
    assert "HACA3" in found["Description"]


def test_another_table_of_the_same_name_is_refused_with_the_tissue_that_differs_most(tmp_path: Path) -> None:
    table = Target("a", "T1w", (1.0,) * len(TISSUES), (0.0,), 1000.0, "x")
    other = replace(table, theta=tuple(0.5 if tissue == "grey" else 1.0 for tissue in TISSUES))
    numbers = replace(table, theta=(1.0, 2.0), eta=(0.3, 0.5))
    assert table.matches(replace(table))
    assert not table.matches(numbers)
    claim_targets(tmp_path, [table])
    for refused, words in (
        (other, "grey 1, now 0.5"),
        (replace(table, eta=(0.4,)), r"artifact level \[0.0\], now \[0.4\]"),
    ):
        with pytest.raises(CannotCreate, match=words):
            claim_targets(tmp_path, [refused])
