from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from haca3_bids.preprocessing.resampling import (
    FWHM_TO_SIGMA,
    field_of_view,
    isotropic_grid,
    resample,
    resample_mask,
    shrink,
)
from haca3_bids.preprocessing.transforms import inverse, similarity_matrix
from haca3_bids.volumes.volume import Volume

GRID = Volume(np.zeros((40, 44, 36), np.float32), np.diag([2.0, 2.0, 2.0, 1.0]))
OBLIQUE = similarity_matrix((0.2, -0.1, 0.15), (4.0, -3.0, 2.0), 0.0, (40.0, 44.0, 36.0))


def smooth_image() -> Volume:
    x, y, z = np.indices(GRID.shape) / 6.0
    return GRID.with_data(2 + np.sin(x) * np.cos(y) + 0.5 * np.sin(z))


def test_on_its_own_grid_an_image_stays_as_it_is() -> None:
    image = smooth_image()
    np.testing.assert_allclose(resample(image, image, np.eye(4)).data, image.data, atol=1e-5)


def test_there_and_back_gives_the_image_again() -> None:
    image = smooth_image()
    back = resample(resample(image, GRID, OBLIQUE), GRID, inverse(OBLIQUE))
    inner = (slice(10, -10),) * 3
    assert np.abs(back.data - image.data)[inner].max() < 0.02


def test_a_point_lies_where_the_matrix_says() -> None:
    image = GRID.with_data(np.zeros(GRID.shape))
    image.data[20, 22, 18] = 1
    moved = resample(image, GRID, similarity_matrix((0, 0, 0), (4.0, -2.0, 6.0)))
    assert np.unravel_index(moved.data.argmax(), moved.shape) == (18, 23, 15)


def test_values_stay_in_the_range_of_the_input_and_are_zero_outside() -> None:
    block = np.zeros(GRID.shape)
    block[10:30, 10:30, 10:30] = 100
    out = resample(GRID.with_data(block), GRID, OBLIQUE)
    assert out.data.min() >= 0
    assert out.data.max() <= 100
    assert (out.data[~field_of_view(GRID, GRID, OBLIQUE)] == 0).all()


def test_the_field_of_view_is_that_of_every_voxel_taken_by_itself() -> None:
    points = np.stack(np.indices(GRID.shape), -1).reshape(-1, 3) * 2.0
    index = (points @ OBLIQUE[:3, :3].T + OBLIQUE[:3, 3]) / 2.0
    expected = ((index >= -0.5) & (index <= np.array(GRID.shape) - 0.5)).all(axis=1).reshape(GRID.shape)
    np.testing.assert_array_equal(field_of_view(GRID, GRID, OBLIQUE), expected)


def test_detail_finer_than_the_new_grid_does_not_alias() -> None:
    fine = Volume(np.zeros((80, 88, 72), np.float32), np.diag([1.0, 1.0, 1.0, 1.0]))
    stripes = fine.with_data(100 * (np.indices(fine.shape)[0] % 2))
    out = resample(stripes, GRID, np.eye(4)).data[3:-3, 3:-3, 3:-3]
    assert out.std() < 5
    assert out.mean() == pytest.approx(50, abs=10)


TILTS = {"aligned": (0, 0, 0), "tilted": (0.35, 0.2, 0), "turned": (0, np.pi / 2, 0)}


@pytest.mark.parametrize("rotation", TILTS.values(), ids=TILTS)
def test_thick_slices_average_across_and_keep_the_detail_in_their_plane(rotation) -> None:
    """Stripes of 4 mm in an image with voxels of 1 mm, along or across slices of 5 mm at any angle."""
    pull = similarity_matrix(rotation, (0, 0, 0), 0.0, (40, 40, 40))
    slices = Volume(np.zeros((80, 80, 16), np.float32), np.diag([1.0, 1.0, 5.0, 1.0]))
    image = Volume(np.zeros((80, 80, 80), np.float32), np.eye(4))
    there = np.indices(image.shape).reshape(3, -1) - np.full((3, 1), 40.0)
    inner = field_of_view(image, slices, pull)
    inner &= np.pad(np.ones((50, 50, 8), np.bool_), [(15, 15), (15, 15), (4, 4)])

    def contrast(axis: int) -> float:
        """Of stripes that repeat along an axis of the slices, relative to the stripes themselves."""
        stripes = np.sin(2 * np.pi * (pull[:3, axis] @ there) / 4.0).reshape(image.shape)
        return float(resample(image.with_data(stripes), slices, pull).data[inner].std() * np.sqrt(2))

    assert contrast(0) > 0.9
    assert contrast(1) > 0.9
    assert contrast(2) < 0.1


def test_thick_slices_at_an_angle_leave_the_air_dark() -> None:
    pull = similarity_matrix(TILTS["tilted"], (0, 0, 0), 0.0, (40, 40, 40))
    slices = Volume(np.zeros((80, 80, 16), np.float32), np.diag([1.0, 1.0, 5.0, 1.0]))
    away = np.linalg.norm(np.indices((80, 80, 80)) - 40.0, axis=0)
    image = Volume(np.where(away < 15, np.float32(1000), np.float32(0)), np.eye(4))
    out = resample(image, slices, pull).data
    place = np.linalg.norm(
        np.stack(np.meshgrid(*(np.arange(n) for n in out.shape), indexing="ij"))
        * np.array([1, 1, 5.0])[:, None, None, None]
        - 40.0,
        axis=0,
    )
    assert out[place < 8].min() > 900
    assert out[place > 35].max() < 1e-3


def test_cubic_voxels_are_smoothed_along_the_axes_of_the_image_at_any_angle() -> None:
    slab = Volume(np.random.default_rng(0).normal(size=(40, 40, 20)), np.diag([1.0, 1.0, 4.0, 1.0]))
    sigma = np.sqrt([3.0, 3.0, 0.0]) * FWHM_TO_SIGMA  # to the 2 mm of GRID
    smooth = ndimage.gaussian_filter(slab.data, sigma, mode="nearest", truncate=3.0)
    to_voxels = inverse(slab.affine) @ OBLIQUE @ GRID.affine
    expected = ndimage.affine_transform(smooth, to_voxels[:3, :3], to_voxels[:3, 3], output_shape=GRID.shape, order=1)
    inner = field_of_view(
        Volume(np.zeros((38, 38, 18)), slab.affine @ similarity_matrix((0, 0, 0), (1, 1, 1))), GRID, OBLIQUE
    )
    np.testing.assert_allclose(resample(slab, GRID, OBLIQUE, order=1).data[inner], expected[inner], atol=1e-5)


def test_blocks_keep_mean_and_place() -> None:
    image = smooth_image()
    small = shrink(image, 4.0)
    assert small.shape == (20, 22, 18)
    assert small.data.mean() == pytest.approx(image.data.mean(), rel=1e-5)
    np.testing.assert_allclose(small.affine[:3, 3], [1.0, 1.0, 1.0])


def test_thick_slices_are_not_thinned_out() -> None:
    slab = Volume(np.zeros((60, 60, 20), np.float32), np.diag([1.0, 1.0, 5.0, 1.0]))
    assert shrink(slab, 4.0).shape == (15, 15, 20)


def test_an_isotropic_grid_has_the_same_centre() -> None:
    slab = Volume(np.zeros((60, 60, 20), np.float32), OBLIQUE @ np.diag([1.0, 1.0, 5.0, 1.0]))
    grid = isotropic_grid(slab, 2.0)
    np.testing.assert_allclose(grid.zooms_mm, 2.0)
    for volume in (slab, grid):
        middle = (np.array(volume.shape) - 1) / 2
        np.testing.assert_allclose(volume.affine @ [*middle, 1], slab.affine @ [29.5, 29.5, 9.5, 1], atol=1e-9)


def test_a_mask_moves_with_its_image() -> None:
    image = GRID.with_data(np.zeros(GRID.shape))
    image.data[10:30, 12:30, 8:28] = 1
    both = resample_mask(image, GRID, OBLIQUE) & resample_mask(image, GRID, OBLIQUE, threshold=0.9)
    assert 0.8 < both.sum() / resample_mask(image, GRID, OBLIQUE).sum() <= 1


def test_a_mask_reaches_as_far_as_its_outermost_voxels() -> None:
    thick = Volume(np.ones((8, 8, 4), np.float32), np.diag([2.0, 2.0, 6.0, 1.0]))
    grid = isotropic_grid(thick, 1.0)
    np.testing.assert_array_equal(resample_mask(thick, grid, np.eye(4)), field_of_view(thick, grid, np.eye(4)))
    assert resample_mask(thick, grid, np.eye(4)).all()
    assert not resample_mask(thick, grid, similarity_matrix((0, 0, 0), (0, 0, 24.0))).any()
