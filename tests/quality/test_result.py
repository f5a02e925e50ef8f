from __future__ import annotations

import numpy as np
import pytest

from haca3_bids.quality.result import measure_result

GRID = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in (40, 44, 40)], indexing="ij"))
BRAIN = (GRID**2).sum(axis=0) < 0.7
SOURCE = np.where(BRAIN, 800 + 300 * np.sin(9 * GRID[0]) * np.cos(7 * GRID[1]), 0).astype(np.float32)
IMAGE = {"target": {"contrast": "T1w", "theta": [0, 0], "name": ""}, "theta_after": [0.6, 0.8]}
IMAGE |= {"sources": {"T1w": {"theta": [3, 4], "eta": [1, 0]}}}
RESULT = {"references": {"T1w": {"theta": [0, 0], "eta": [0, 0], "clean_eta": [0, 0.5, 1.5]}}}


def test_an_image_that_did_not_change_kept_its_structure_and_another_did_not() -> None:
    same = measure_result(IMAGE, RESULT, SOURCE, SOURCE, BRAIN)["ssim"]
    turned = measure_result(IMAGE, RESULT, SOURCE[::-1].copy(), SOURCE, BRAIN)["ssim"]
    assert same == pytest.approx(1.0, abs=1e-6)
    assert turned < 0.6


def test_distances_to_the_target_before_and_after_and_to_the_clean_reference() -> None:
    found = measure_result(IMAGE, RESULT, SOURCE, None, BRAIN)
    assert found["theta_distance_before"] == pytest.approx(5.0)
    assert found["theta_distance_after"] == pytest.approx(1.0)
    assert found["eta_distance"] == pytest.approx(1.0)
    assert found["eta_clean_percentile"] == pytest.approx(75.0)  # half-way between the median and the largest
    assert found["ssim"] is None


def test_voxels_that_are_no_numbers_are_counted_and_black_ones_are_a_share() -> None:
    image = SOURCE.copy()
    image[20, 20, 18:22] = np.nan
    image[BRAIN & (GRID[0] < 0)] = 0
    found = measure_result(IMAGE, RESULT, image, SOURCE, BRAIN)
    assert found["nan_count"] == np.isnan(image).sum()
    assert found["clipped_share"] == pytest.approx(0.5, abs=0.02)


def test_the_floor_is_the_darkest_of_the_brain_relative_to_white_matter() -> None:
    assert measure_result(IMAGE, RESULT, SOURCE, None, BRAIN)["csf_floor"] == pytest.approx(0.5, abs=0.06)


def test_without_a_source_of_that_contrast_nothing_is_invented() -> None:
    found = measure_result({"target": {"contrast": "T2w", "theta": [1, 1]}}, {}, SOURCE, None, BRAIN)
    assert found["theta_distance_before"] is found["theta_distance_after"] is found["eta_distance"] is None
    assert found["eta_clean_percentile"] is None
