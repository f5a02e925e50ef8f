"""The blur of a scan is found along the axis of its thick slices, and its residuals are those at its resolution."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from haca3_bids.harmonization.resolution import Blur, restored, slice_blur
from haca3_bids.physics.scanner import rician, thick_slices

SIZE, THICKNESS = 48, 3.0


@pytest.fixture(scope="module")
def truth():
    rng = np.random.default_rng(0)
    blobs = gaussian_filter(rng.standard_normal((SIZE,) * 3), 1.5)
    head = np.zeros((SIZE,) * 3, bool)
    head[4:-4, 4:-4, 4:-4] = True
    return (head * (1 + 0.6 * (blobs > 0))).astype(np.float32)


def _noisy(image):
    return rician(image, 0.03, np.random.default_rng(1)) * (image > 0)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_thick_slices_are_found_along_their_axis(truth, axis):
    blur = slice_blur(_noisy(thick_slices(truth, axis, THICKNESS)), truth)
    assert blur.axis == axis
    assert blur.width == pytest.approx(THICKNESS / 2, rel=0.4)


def test_a_sharp_scan_is_not_blurred(truth):
    assert slice_blur(_noisy(truth), truth) is None


def test_a_scan_that_is_blurred_in_all_directions_does_not_have_thick_slices(truth):
    assert slice_blur(gaussian_filter(truth, 1.0), truth) is None


def test_a_scan_that_is_smooth_but_not_quite_evenly_does_not_have_thick_slices(truth):
    assert slice_blur(_noisy(gaussian_filter(truth, (0.7, 0.55, 0.5))), truth) is None


def test_a_scale_and_a_part_without_data_do_not_matter(truth):
    scan = thick_slices(truth, 1, THICKNESS)
    scan[:, :, : SIZE // 2] = 0
    assert slice_blur(1.2 * scan, truth).axis == 1


def test_an_empty_scan_has_no_blur(truth):
    assert slice_blur(np.zeros_like(truth), truth) is None


def test_a_thick_scan_that_agrees_with_the_model_is_restored(truth):
    blur = Blur(1, 1.6)
    np.testing.assert_allclose(restored(blur(truth), truth, blur), truth, atol=1e-5)


def test_what_the_model_lacks_stays_as_in_the_scan(truth):
    lesion, blur = truth.copy(), Blur(1, 1.6)
    lesion[20:26, 20:26, 20:26] += 0.5
    np.testing.assert_allclose(restored(blur(lesion), truth, blur) - truth, blur(lesion) - blur(truth), atol=1e-5)


def test_the_blur_is_measured_within_a_head_that_fills_the_grid(truth):
    inside = truth[4:-4, 4:-4, 4:-4]
    assert slice_blur(_noisy(thick_slices(inside, 2, THICKNESS)), inside).axis == 2
