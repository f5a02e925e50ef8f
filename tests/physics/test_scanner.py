"""Imperfections: nothing drawn changes nothing, and each does what its name says."""

import numpy as np
import pytest

from haca3_bids.physics.scanner import Imperfections, acquire, ghosted, moved, rician, smooth_field, thick_slices


@pytest.fixture
def image():
    rows, columns = np.mgrid[-1:1:64j, -1:1:48j]
    return np.where(rows**2 + columns**2 < 0.5, 1.0, 0.0).astype(np.float32)


def test_a_perfect_scanner_changes_nothing(image):
    np.testing.assert_array_equal(acquire(image, Imperfections(seed=1)), image)


def test_the_same_imperfections_give_the_same_image(image):
    bad = Imperfections(seed=4, bias=0.1, noise=0.1, motion_voxels=4, motion_events=3, ghost=0.4)
    np.testing.assert_array_equal(acquire(image, bad), acquire(image, bad))


def test_noise_where_there_is_no_signal_has_the_mean_of_rayleigh():
    noise = rician(np.zeros((200, 200), np.float32), 0.1, np.random.default_rng(0))
    assert noise.mean() == pytest.approx(0.1 * np.sqrt(np.pi / 2), rel=0.01)


def test_a_head_that_lies_still_is_not_changed_by_motion_of_zero(image):
    still = moved(image, 0.0, 3, 0, np.random.default_rng(0))
    np.testing.assert_allclose(still, image, atol=1e-5)


def test_a_head_that_turns_smears_its_rim_and_not_its_middle(image):
    turned = moved(image, 0.0, 3, 0, np.random.default_rng(5), largest_deg=4.0)
    change = np.abs(turned - image)
    middle = tuple(slice(n // 2 - n // 16, n // 2 + n // 16) for n in image.shape[:2])
    assert change.max() > 0.1
    assert change[middle].mean() < 0.5 * change[image > 0].mean()


def test_motion_keeps_the_head_where_the_centre_of_k_space_saw_it(image):
    shaken = moved(image, 3.0, 2, 0, np.random.default_rng(0))
    centres = [(np.indices(x.shape) * x).sum(axis=(1, 2)) / x.sum() for x in (image, shaken)]
    np.testing.assert_allclose(*centres, atol=2.5)  # a shift of the whole head by 3 voxels would show
    assert np.abs(shaken - image).mean() > 0.005


def test_ghosts_leave_the_mean_alone_and_put_signal_into_air(image):
    ghost = ghosted(image, 0.6, 2, 0)
    assert ghost[image == 0].mean() > 0.02


@pytest.mark.parametrize("thickness", [1.5, 2.0, 3.0, 4.0, 4.4])
def test_thick_slices_keep_a_ramp_in_its_place(thickness):
    ramp = np.tile(np.arange(60, dtype=np.float32)[:, None], (1, 5))
    atol = 0.01 if thickness.is_integer() else 0.09  # a voxel cut in two is no ramp inside: an eighth, over 1.5
    np.testing.assert_allclose(thick_slices(ramp, 0, thickness)[5:-5], ramp[5:-5], atol=atol)


def test_a_thick_slice_is_the_mean_of_what_it_holds(image):
    np.testing.assert_allclose(thick_slices(image, 0, 1.0), image, atol=1e-3)
    coarse = thick_slices(np.eye(4, dtype=np.float32)[:, :1].repeat(2, 1), 0, 2.0)
    np.testing.assert_allclose(coarse[0], 0.5, atol=1e-6)


def test_thick_slices_blur_an_edge(image):
    assert np.abs(thick_slices(image, 0, 4.0) - image).max() > 0.3


def test_severity_grows_with_the_artifact():
    severities = [Imperfections(seed=0, noise=noise).severity for noise in (0.01, 0.05, 0.2)]
    assert severities == sorted(severities)
    assert Imperfections(seed=0).severity == 0


def test_a_smooth_field_is_standardized():
    field = smooth_field((40, 50, 30), 4, np.random.default_rng(0))
    assert field.mean() == pytest.approx(0, abs=1e-4)
    assert field.std() == pytest.approx(1, abs=1e-3)
    assert np.abs(np.diff(field, axis=0)).max() < 1  # less than one deviation between neighbours
