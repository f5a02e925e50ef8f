import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_closing, distance_transform_edt
from skimage.morphology import ball

from haca3_bids.intensity.background import closed, head_mask, within_radius, without_specks


@pytest.mark.parametrize("radius", [1, 3, 6])
def test_closing_equals_the_closing_with_a_ball(radius: int) -> None:
    mask = np.random.default_rng(0).random((21, 24, 19)) > 0.97
    wide = np.pad(mask, 2 * radius)
    expected = binary_closing(wide, ball(radius))[(slice(2 * radius, -2 * radius),) * 3]
    assert np.array_equal(closed(mask, radius), expected)


def test_dilation_equals_the_thresholded_distance_transform() -> None:
    mask = np.random.default_rng(1).random((60, 50, 55)) > 0.9998
    assert np.array_equal(within_radius(mask, 20), distance_transform_edt(~mask) <= 20)


def test_an_empty_mask_stays_empty() -> None:
    assert not closed(np.zeros((5, 5, 5), bool)).any()


def test_a_dark_ventricle_belongs_to_the_head_and_the_noise_around_it_does_not() -> None:
    image = np.random.default_rng(2).random((64, 64, 64)).astype(np.float32) * 10
    x, y, z = np.indices(image.shape) - 31.5
    head = x**2 + y**2 + z**2 < 26**2
    image[head] += 100
    image[x**2 + y**2 + z**2 < 10**2] = 0
    assert np.array_equal(head_mask(image), head)


def test_a_brain_that_is_darker_than_the_threshold_belongs_to_the_head() -> None:
    radius = np.linalg.norm(np.indices((64, 64, 64)) - 31.5, axis=0)
    image = np.select([radius < 24, radius < 28], [80.0, 400.0], 0.0)  # fat near a coil, whose field was not corrected
    image += np.random.default_rng(2).random(image.shape) * 10
    assert np.array_equal(head_mask(image), radius < 28)
    assert not head_mask(image, may_be_shell=True)[radius < 20].any()  # as the released program does


def test_white_matter_in_bright_fluid_belongs_to_the_head_in_a_slab() -> None:
    radius = np.linalg.norm(np.indices((64, 64, 12))[:2] - 31.5, axis=0)
    image = np.select([radius < 13, radius < 28], [100.0, 350.0], 0.0)  # the closing comes in from the open ends
    image += np.random.default_rng(2).random(image.shape) * 10
    assert np.array_equal(head_mask(image), radius < 28)


def test_the_threshold_ignores_what_was_not_scanned() -> None:
    image = np.random.default_rng(3).uniform(99, 101, (20, 20, 40)).astype(np.float32)
    image[:10] -= 70
    image[:, :, 5:] = 0
    covered = np.zeros(image.shape, bool)
    covered[:, :, :5] = True
    assert head_mask(image, covered, radius=1)[:10].mean() < 1e-3
    assert head_mask(image, covered, radius=1)[10:, :, :5].all()


def test_a_constant_image_is_head_where_it_is_above_zero() -> None:
    assert head_mask(np.ones((4, 4, 4), np.float32)).all()


def noisy_ball(noise: float) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A ball of intensity one in Rician noise, and where it is."""
    ball = np.linalg.norm(np.indices((60, 60, 60)) - 30, axis=0) < 14
    real, imaginary = np.random.default_rng(0).normal(0, noise, (2, *ball.shape))
    return np.hypot(ball + real, imaginary).astype(np.float32), ball


def test_noise_above_the_threshold_does_not_make_the_air_a_part_of_the_head() -> None:
    image, ball = noisy_ball(0.2)
    assert head_mask(image).mean() > 0.8  # specks all over the air, and the closing joins them
    found = head_mask(image, noisy=True)
    assert found[ball].mean() > 0.98
    assert found.sum() < 1.1 * ball.sum()


def test_bits_of_scalp_stay() -> None:
    image, _ = noisy_ball(0.01)
    image[30, 30, 46:48] = 1.0
    np.testing.assert_array_equal(head_mask(image, noisy=True), head_mask(image))
    assert head_mask(image, noisy=True)[30, 30, 47]


def test_specks_are_kept_where_there_is_nothing_else() -> None:
    mask = np.zeros((5, 5, 5), bool)
    mask[2, 2, 2] = True
    np.testing.assert_array_equal(without_specks(mask, 100), mask)
    mask[:, :, 4] = True
    np.testing.assert_array_equal(np.argwhere(without_specks(mask, 20))[:, 2], 4)
