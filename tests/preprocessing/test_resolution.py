from __future__ import annotations

import numpy as np
import pytest

from haca3_bids.preprocessing.resolution import acquisition, coarse_voxels
from haca3_bids.volumes.volume import Volume


@pytest.mark.parametrize(
    ("zooms", "axis", "thick"),
    [
        ((0.9, 0.9, 3.0), 2, True),
        ((5.0, 0.5, 0.5), 0, True),
        ((1.0, 1.0, 1.2), 2, False),
        ((0.7, 0.7, 0.7), 0, False),
        ((0.5, 0.5, 1.0), 2, False),  # thin enough for a grid of 1 mm
        ((2.0, 2.0, 2.0), 0, False),  # coarse, but not in slices
        ((1.0, 4.0, 1.0), 1, True),
    ],
)
def test_thick_slices_are_told_from_volumes(zooms, axis, thick) -> None:
    found = acquisition(Volume(np.zeros((4, 4, 4), np.float32), np.diag([*zooms, 1.0])))
    assert (found.axis, found.two_dimensional) == (axis, thick)
    assert found.spacing_mm == max(zooms)


@pytest.mark.parametrize(
    ("zooms", "words"),
    [
        ((1.0, 1.0, 8.0), ""),
        ((4.0, 4.0, 4.0), ""),
        ((5.0, 1.0, 5.0), "5 x 1 x 5 mm"),
        ((8.0, 8.0, 8.0), "8 x 8 x 8 mm"),
    ],
)
def test_a_scan_that_is_coarse_in_plane_is_remarked_on(zooms, words) -> None:
    found = coarse_voxels(Volume(np.zeros((4, 4, 4), np.float32), np.diag([*zooms, 1.0])), "x_T1w.nii.gz")
    assert bool(found) == bool(words)
    assert words in found
