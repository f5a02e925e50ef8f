"""Fields of view: what is cut is gone, what stays is where it was."""

import numpy as np
import pytest

from haca3_bids.physics.coverage import FieldOfView, cropped, draw_field_of_view
from haca3_bids.volumes.volume import Volume


def test_what_stays_is_where_it_was_in_space():
    rng = np.random.default_rng(0)
    affine = np.array([[-1, 0, 0, 30], [0, -1, 0, 20], [0, 0, 3, -10], [0, 0, 0, 1.0]])
    volume = Volume(rng.random((40, 30, 20), np.float32), affine)
    cut = cropped(volume, FieldOfView(((2, 3), (0, 0), (9, 6))))
    assert cut.shape == (35, 30, 15)  # three millimetres a slice
    for voxel in [(0, 0, 0), (34, 29, 14)]:
        there = np.linalg.inv(affine) @ cut.affine @ [*voxel, 1]
        assert cut.data[voxel] == volume.data[tuple(np.rint(there[:3]).astype(int))]


def test_what_is_missing_is_told_in_whole_slices():
    volume = Volume(np.ones((40, 30, 20), np.float32), np.diag([1, 1, 3, 1.0]))
    view = FieldOfView(((2, 0), (0, 0), (10, 7)))
    assert view.in_voxels_of(volume) == FieldOfView(((2, 0), (0, 0), (9, 6)))
    assert FieldOfView().in_voxels_of(volume) == FieldOfView()


def test_a_full_field_of_view_changes_nothing():
    volume = Volume(np.ones((5, 6, 7), np.float32), np.eye(4))
    assert cropped(volume, FieldOfView()).has_grid_of(volume)


def test_a_drawn_field_of_view_misses_one_axis_and_is_never_empty():
    axes = set()
    for seed in range(60):
        view = draw_field_of_view(np.random.default_rng(seed))
        missing = [sum(pair) for pair in view.missing_mm]
        assert sum(value > 0 for value in missing) == 1
        axes.add(int(np.argmax(missing)))
        assert max(missing) <= 115
    assert axes == {0, 1, 2}


def test_less_than_nothing_cannot_be_missing():
    with pytest.raises(ValueError, match="must not be negative"):
        FieldOfView(((0, -1), (0, 0), (0, 0)))
