from __future__ import annotations

import numpy as np
import pytest

from haca3_bids.reports.charts import slices
from haca3_bids.reports.planes import PLANES, cut, white_end
from haca3_bids.volumes.volume import Volume, reorient


@pytest.mark.parametrize("axes", [("R", "A", "S"), ("L", "P", "S"), ("A", "I", "L")])
@pytest.mark.parametrize("plane", PLANES)
def test_a_plane_looks_the_same_however_the_volume_is_stored(head: Volume, axes: tuple[str, ...], plane: str) -> None:
    expected, found = cut(head, plane, 11.0), cut(reorient(head, axes), plane, 11.0)
    np.testing.assert_array_equal(found.pixels, expected.pixels)
    assert (found.width_mm, found.height_mm) == (expected.width_mm, expected.height_mm)


def test_the_patients_left_is_on_the_left(head: Volume) -> None:
    pixels = cut(head, "axial", 6.0).pixels  # brightness grows with x, that is towards the right
    row = pixels[pixels.shape[0] // 2]
    inside = row[row > 0]
    assert np.all(np.diff(inside) > 0)


def test_the_vertex_is_up_and_the_nose_right_of_a_sagittal_plane() -> None:
    data = np.zeros((5, 6, 7), np.float32)
    data[2, 5, 6] = 1  # front top in RAS
    picture = cut(Volume(data, np.eye(4)), "sagittal", 2.0)
    assert np.unravel_index(picture.pixels.argmax(), picture.pixels.shape) == (6, 5)  # last row is drawn at the top


def test_a_plane_goes_through_the_point_asked_for() -> None:
    z = np.broadcast_to(-20.0 + 2.5 * np.arange(30), (8, 9, 30)).astype(np.float32)
    affine = np.diag([1, 1, 2.5, 1.0])
    affine[2, 3] = -20
    assert cut(Volume(z, affine), "axial", 13.0).pixels.mean() == pytest.approx(12.5)


def test_a_plane_outside_the_volume_is_its_last_one(head: Volume) -> None:
    np.testing.assert_array_equal(cut(head, "axial", 1e4).pixels, cut(head, "axial", 104.0).pixels)


def test_voxels_that_are_not_cubes_keep_their_shape_in_mm() -> None:
    picture = cut(Volume(np.ones((10, 20, 30), np.float32), np.diag([0.5, 0.5, 3.0, 1.0])), "coronal", 0.0)
    assert (picture.width_mm, picture.height_mm) == (5.0, 90.0)


def test_a_chart_shows_voxels_that_are_not_cubes_in_their_shape() -> None:
    (axes,) = slices({"coronal slices": Volume(np.ones((40, 8, 30), np.float32), np.diag([1.0, 5.0, 1.0, 1.0]))}).axes
    assert axes.images[0].get_extent() == [0.0, 40.0, 0.0, 40.0]


def test_white_ignores_background_and_never_is_zero(head: Volume) -> None:
    assert 1000 < white_end(head) < 1070
    assert white_end(head.with_data(np.zeros(head.shape))) == 1.0
