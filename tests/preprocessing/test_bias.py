from __future__ import annotations

import numpy as np
import pytest

from haca3_bids.preprocessing.bias import correct_bias, log_field, without_field
from haca3_bids.settings import PreprocessingSettings

SETTINGS = PreprocessingSettings()


def spread(image, mask) -> float:
    return float(np.log(image.data[mask]).std())


@pytest.mark.parametrize("contrast", ["T1w", pytest.param("T2w", marks=pytest.mark.slow)])
def test_n4_takes_most_of_the_field_away(phantom, biased, contrast) -> None:
    scan = biased(phantom.scan(contrast, noise=0.01), 0.3)
    white, brain = phantom.mask(5), phantom.mask(3, 4, 5)
    corrected = correct_bias(scan, PreprocessingSettings(), brain)
    clean = spread(phantom.scan(contrast, noise=0.01), white)
    assert spread(corrected, white) - clean < 0.35 * (spread(scan, white) - clean)


def test_the_same_image_twice_gives_the_same_field(phantom, biased) -> None:
    scan = biased(phantom.scan("T1w"), 0.3)
    np.testing.assert_array_equal(log_field(scan, SETTINGS).data, log_field(scan, SETTINGS).data)


def test_the_field_is_applied_at_the_resolution_of_the_image(phantom) -> None:
    scan = phantom.scan("T1w")
    slope = scan.with_data(np.broadcast_to(np.linspace(-0.2, 0.2, scan.shape[0])[:, None, None], scan.shape))
    corrected = without_field(scan, slope)
    np.testing.assert_allclose(corrected.data * np.exp(slope.data), scan.data, rtol=1e-4, atol=1e-3)


def test_a_mask_too_small_for_a_field_leaves_the_image_alone(phantom) -> None:
    scan = phantom.scan("T1w")
    nothing = np.zeros(scan.shape, np.bool_)
    np.testing.assert_array_equal(correct_bias(scan, SETTINGS, nothing).data, scan.data)


def test_the_field_of_a_slab_is_found_in_a_grid_of_zeros_around_it(phantom, biased) -> None:
    scan, brain, white = biased(phantom.scan("T1w", noise=0.01), 0.3), phantom.mask(3, 4, 5), phantom.mask(5)
    planes = np.flatnonzero(brain.any(axis=(0, 1)))
    beyond = np.ones(scan.shape[2], np.bool_)
    beyond[planes[len(planes) // 2 - 3 : len(planes) // 2 + 3]] = False
    scan.data[..., beyond] = white[..., beyond] = False
    assert (scan.data[brain] > 0).mean() < 0.25
    assert spread(correct_bias(scan, SETTINGS, brain), white) < 0.7 * spread(scan, white)


def test_numpys_generator_is_left_as_it_was(phantom) -> None:
    np.random.seed(3)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    log_field(phantom.scan("T1w"), SETTINGS)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
