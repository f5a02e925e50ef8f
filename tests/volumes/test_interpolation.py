import numpy as np
import pytest

from haca3_bids.volumes.interpolation import interpolated


@pytest.mark.parametrize("axis", [0, 1])
def test_values_between_and_beyond_voxels_are_those_of_numpy(axis):
    data, positions = np.random.default_rng(0).random((5, 7)), np.array([-2, 0, 0.25, 2, 3.9, 4, 9])
    found = interpolated(data, axis, positions)
    wanted = np.apply_along_axis(lambda line: np.interp(positions, np.arange(len(line)), line), axis, data)
    np.testing.assert_allclose(found, wanted)


def test_smooth_values_are_flat_at_the_voxels():
    found = interpolated(np.array([0.0, 1.0]), 0, np.array([0, 0.01, 0.5, 0.99, 1]), smooth=True)
    np.testing.assert_allclose(found, [0, 0, 0.5, 1, 1], atol=1e-3)


def test_one_voxel_is_everywhere():
    assert (interpolated(np.ones((1, 3)), 0, np.array([-1.0, 0, 2])) == 1).all()
