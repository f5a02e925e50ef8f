"""Baselines undo what they are made for: a linear change, or any change of percentiles."""

from __future__ import annotations

import numpy as np
import pytest

from haca3_bids.evaluation.normalization import METHODS, NYUL, WHITESTRIPE, ZSCORE, normalized
from haca3_bids.evaluation.similarity import Array

pytest.importorskip("intensity_normalization", reason="needs pip install intensity-normalization")


@pytest.fixture
def image() -> Array:
    """Three tissues with some spread, white matter brightest and commonest."""
    rng = np.random.default_rng(0)
    tissue = rng.choice([300.0, 650.0, 1000.0], (16, 16, 16), p=[0.2, 0.35, 0.45])
    return (tissue + rng.normal(0, 25, tissue.shape)).astype(np.float32)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("contrast", ["T1w", "T2w"])
def test_a_linear_change_is_undone(image: Array, method: str, contrast: str) -> None:
    mask = np.ones(image.shape, bool)
    found = normalized(method, 0.4 * image + 70, mask, image, mask, contrast)
    inner = np.abs(image - np.median(image)) < np.ptp(image) / 2
    assert np.abs(found - image)[inner].max() < 0.02 * image.max()


def test_nyul_brings_percentiles_to_those_of_the_reference(image: Array) -> None:
    mask = np.ones(image.shape, bool)
    found = normalized(NYUL, np.sqrt(image), mask, image, mask, "T1w")
    landmarks = [1, *range(10, 91, 10), 99]
    np.testing.assert_allclose(np.percentile(found, landmarks), np.percentile(image, landmarks), rtol=2e-3)


def test_z_score_brings_mean_and_standard_deviation_to_those_of_the_reference_in_the_mask(image: Array) -> None:
    inside = np.zeros(image.shape, bool)
    inside[2:9] = True
    found = normalized(ZSCORE, image**2, inside, image, ~inside, "T1w")
    assert found[inside].mean() == pytest.approx(image[~inside].mean(), rel=1e-3)
    assert found[inside].std() == pytest.approx(image[~inside].std(), rel=1e-3)


def test_white_stripe_brings_white_matter_to_that_of_the_reference(image: Array) -> None:
    mask = np.ones(image.shape, bool)
    found = normalized(WHITESTRIPE, np.sqrt(image), mask, image, mask, "T1w")
    assert np.median(found[image > 900]) == pytest.approx(np.median(image[image > 900]), rel=0.02)


@pytest.mark.parametrize("method", METHODS)
def test_an_image_without_any_spread_is_told(image: Array, method: str) -> None:
    mask = np.ones(image.shape, bool)
    with pytest.raises(ValueError, match=r"\w"):
        normalized(method, image, mask, np.ones_like(image), mask, "T1w")
