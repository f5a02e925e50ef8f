"""The segmentation finds tissues that are there, in every contrast, and the mixture its own parameters."""

import numpy as np
import pytest
from scipy import ndimage

from haca3_bids.evaluation.overlap import dice_by_label
from haca3_bids.evaluation.segmentation import CSF, GREY, ORDERS, WHITE, mixture, segmented

LEVELS = (0.3, 0.6, 0.9)  # dark, middle, bright


@pytest.fixture
def tissues():
    smooth = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((32, 32, 32)), 3)
    edges = np.quantile(smooth, [0.25, 0.65])
    return np.digitize(smooth, edges) + 1  # 1..3


@pytest.mark.parametrize("contrast", ORDERS)
def test_noisy_tissues_are_found_in_every_contrast(tissues, contrast):
    brightness = dict(zip(ORDERS[contrast], LEVELS, strict=True))
    image = np.vectorize(brightness.get)(tissues) + np.random.default_rng(1).normal(0, 0.07, tissues.shape)
    brain = np.ones(tissues.shape, bool)
    brain[:4] = False
    found = segmented(image.astype(np.float32), brain, contrast)
    assert not found[:4].any()
    agreement = dice_by_label(found[brain], tissues[brain])
    assert min(agreement.values()) > 0.93


def test_the_unit_of_the_image_does_not_matter(tissues):
    image = (tissues + np.random.default_rng(1).normal(0, 0.2, tissues.shape)).astype(np.float32)
    brain = np.ones(tissues.shape, bool)
    np.testing.assert_array_equal(segmented(image, brain, "T1w"), segmented(image * 512 + 64, brain, "T1w"))


def test_a_mixture_of_known_parts_is_taken_apart():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0.2, 0.07, 20000), rng.normal(0.5, 0.08, 50000), rng.normal(0.8, 0.07, 30000)])
    means, variances, weights = mixture(values)
    np.testing.assert_allclose(means, [0.2, 0.5, 0.8], atol=0.005)
    np.testing.assert_allclose(np.sqrt(variances), [0.07, 0.08, 0.07], atol=0.004)
    np.testing.assert_allclose(weights, [0.2, 0.5, 0.3], atol=0.01)


def test_partial_volume_of_an_image_without_noise_is_shared():
    smooth = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((64, 64, 64)), 4)
    tissues = np.digitize(smooth, np.quantile(smooth, [0.25, 0.65])) + 1
    image = np.array((0.0, *LEVELS))[tissues].reshape(32, 2, 32, 2, 32, 2).mean(axis=(1, 3, 5))
    found = segmented(image.astype(np.float32), np.ones(image.shape, bool), "T1w")
    for tissue, share in ((CSF, 0.25), (GREY, 0.40), (WHITE, 0.35)):
        assert (found == tissue).mean() == pytest.approx(share, rel=0.1)
