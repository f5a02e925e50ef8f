from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

from haca3_bids.networks.theta import DARKEST
from haca3_bids.physics.tissues import TISSUES
from haca3_bids.quality.contrast import LOG_FLOOR
from haca3_bids.quality.result import ImageQuality, measure_result, theta_distance
from haca3_bids.quality.verdict import judge
from haca3_bids.records.engine import EngineResult, HarmonizedImage, ReferenceCodes, SourceReport
from haca3_bids.records.preprocessing import Preprocessing
from haca3_bids.records.target import Target

GRID = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in (40, 44, 40)], indexing="ij"))
BRAIN = (GRID**2).sum(axis=0) < 0.7
SOURCE = np.where(BRAIN, 800 + 300 * np.sin(9 * GRID[0]) * np.cos(7 * GRID[1]), 0).astype(np.float32)
TARGET = Target("", "T1w", (0, 0), (0, 0), 1000.0, "x")
IMAGE = HarmonizedImage(TARGET, {"T1w": SourceReport((3, 4), (1, 0))}, theta_after=(0.6, 0.8))
T1W, T2W = (
    tuple(known.get(tissue, 0.5) for tissue in TISSUES)
    for known in ({"csf": 0.28, "grey": 0.77, "white": 1.0}, {"csf": 3.4, "grey": 1.5, "white": 1.0})
)
RESULT = EngineResult(references={"T1w": ReferenceCodes((0, 0), (0, 0), (0, 0.5, 1.5))})


def test_what_was_inferred_outside_the_field_of_view_of_a_slab_is_no_change_of_structure() -> None:
    slab = SOURCE.copy()
    slab[..., SOURCE.shape[2] // 2 :] = 0
    seen = measure_result(IMAGE, RESULT, SOURCE, slab, BRAIN).ssim
    assert seen is not None
    assert seen > 0.95


def test_an_image_that_did_not_change_kept_its_structure_and_another_did_not() -> None:
    same = measure_result(IMAGE, RESULT, SOURCE, SOURCE, BRAIN).ssim
    turned = measure_result(IMAGE, RESULT, SOURCE[::-1].copy(), SOURCE, BRAIN).ssim
    assert same == pytest.approx(1.0, abs=1e-6)
    assert turned < 0.6


def test_distances_to_the_target_before_and_after_and_to_the_clean_reference() -> None:
    found = measure_result(IMAGE, RESULT, SOURCE, None, BRAIN)
    assert found.theta_distance_before == pytest.approx(5.0)
    assert found.theta_distance_after == pytest.approx(1.0)
    assert found.eta_distance == pytest.approx(1.0)
    assert found.eta_clean_percentile == pytest.approx(75.0)  # half-way between the median and the largest
    assert found.ssim is None


def test_the_artifact_level_is_that_of_the_mixture_model_alone() -> None:
    one = HarmonizedImage(TARGET, {"T1w": SourceReport((3, 4), (0.9,))})
    result = EngineResult(references={"T1w": ReferenceCodes((0, 0), (0,))})
    assert measure_result(one, result, SOURCE, None, BRAIN).artifact_level == pytest.approx(0.9)
    assert measure_result(IMAGE, RESULT, SOURCE, None, BRAIN).artifact_level is None


def test_sources_without_an_image_of_their_contrast_are_judged_with_the_first_image() -> None:
    sources = {"T1w": SourceReport(T1W, (0.2,), looks_like="T1w"), "FLAIR": SourceReport(T2W, (1.7,), looks_like="T2w")}
    images = [HarmonizedImage(replace(TARGET, name=name, theta=T1W, eta=(0.0,)), sources) for name in ("", "b")]
    result = EngineResult(images=tuple(images))
    first, second = (measure_result(image, result, SOURCE, None, BRAIN) for image in images)
    assert (first.artifact_level, second.artifact_level) == (1.7, None)
    assert first.name_doubt > 0
    assert second.name_doubt is None
    both = EngineResult(
        images=(images[0], HarmonizedImage(replace(TARGET, contrast="FLAIR", theta=T2W, eta=(0.0,)), sources))
    )
    assert [measure_result(one, both, SOURCE, None, BRAIN).artifact_level for one in both.images] == [0.2, 1.7]


def test_voxels_that_are_no_numbers_are_counted_and_black_ones_are_a_share() -> None:
    image = SOURCE.copy()
    image[BRAIN & (GRID[0] < 0)] = 0
    found = measure_result(replace(IMAGE, not_finite=4), RESULT, image, SOURCE, BRAIN)
    assert found.nan_count == 4
    assert found.clipped_share == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(("empty", "verdict"), [(None, "pass"), (0.01, "pass"), (0.3, "look")])
def test_a_brain_that_no_source_shows_in_full_is_reported(empty: float | None, verdict: str) -> None:
    found = measure_result(replace(IMAGE, brain_without_source=empty), RESULT, SOURCE, None, BRAIN)
    judged = judge(Preprocessing(), {"haca3_T1w": {"brain_without_source": found.brain_without_source}})
    assert judged.verdict == verdict


def test_the_floor_is_the_darkest_of_the_brain_relative_to_white_matter() -> None:
    assert measure_result(IMAGE, RESULT, SOURCE, None, BRAIN).csf_floor == pytest.approx(0.5, abs=0.06)


def test_without_a_source_of_that_contrast_nothing_is_invented() -> None:
    found = measure_result(
        HarmonizedImage(replace(TARGET, contrast="T2w", theta=(1, 1))), EngineResult(), SOURCE, None, BRAIN
    )
    assert found.theta_distance_before is found.theta_distance_after is found.eta_distance is None
    assert found.eta_clean_percentile is None


def measured_table(table: tuple[float, ...], looks_like: str) -> ImageQuality:
    source = SourceReport(table, (0.2,), residual=0.05, looks_like=looks_like)
    image = HarmonizedImage(replace(TARGET, theta=T1W, eta=(0.0,)), {"T1w": source}, theta_after=T1W)
    return measure_result(image, EngineResult(references={"T1w": ReferenceCodes(T1W, (0.0,))}), SOURCE, None, BRAIN)


def test_tables_are_compared_by_the_ratios_of_their_intensities() -> None:
    assert LOG_FLOOR == DARKEST  # as the networks see them
    doubled = [2 * value + LOG_FLOOR for value in T1W]  # all twice as far above the floor
    assert theta_distance(T1W, doubled) == pytest.approx(np.log(2))
    assert theta_distance(T1W, T1W) == 0
    assert theta_distance(T1W, None) is None
    one_off = [value * 3 if tissue == "fat" else value for tissue, value in zip(TISSUES, T1W, strict=True)]
    assert theta_distance(T1W, one_off) == pytest.approx(np.log(1.55 / 0.55) / np.sqrt(len(TISSUES)))


def test_of_a_table_the_artifact_level_and_what_it_does_not_explain_are_numbers() -> None:
    found = measured_table(T1W, "T1w")
    assert found.theta_distance_before == found.theta_distance_after == 0
    assert found.eta_distance == pytest.approx(0.2)
    assert (found.residual, found.name_doubt) == (0.05, 0.0)


@pytest.mark.parametrize(
    ("table", "looks_like", "named"),
    [(T1W, "T1w", False), (T1W, "T2w", False), (T2W, "T1w", False), (T2W, "T2w", True)],
)
def test_a_name_is_doubted_once_and_only_where_all_tissues_and_grey_matter_and_fluid_agree(
    table: tuple[float, ...], looks_like: str, named: bool
) -> None:
    verdict = judge(Preprocessing(), {"haca3_T1w": asdict(measured_table(table, looks_like))})
    assert verdict.verdict == ("look" if named else "pass")
    assert [reason.where for reason in verdict.reasons if reason.measure == "name_doubt"] == ["haca3_T1w"] * named


def test_of_several_targets_of_one_contrast_only_the_first_tells_of_the_scan() -> None:
    source = {"T1w": SourceReport(T2W, (0.0,), looks_like="T2w")}
    first, second = (HarmonizedImage(replace(TARGET, theta=T1W, eta=(0.0,), name=name), source) for name in ("", "b"))
    found = [measure_result(one, EngineResult((first, second)), SOURCE, None, BRAIN) for one in (first, second)]
    assert (found[0].name_doubt or 0) > 0
    assert found[1].name_doubt is None


def test_haca3_says_nothing_of_names_and_residuals() -> None:
    found = measure_result(IMAGE, RESULT, SOURCE, None, BRAIN)
    assert found.residual is found.name_doubt is None
