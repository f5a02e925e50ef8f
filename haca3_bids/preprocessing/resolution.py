"""Whether an image was acquired as a volume or in thick slices."""

from __future__ import annotations

import numpy as np

from haca3_bids.records.preprocessing import Acquisition
from haca3_bids.volumes.volume import Volume

THICK_MM = 2.0  # slices of at least this thickness,
THICK_RATIO = 1.5  # and this many times the voxel in plane, are those of a 2D acquisition


def acquisition(volume: Volume) -> Acquisition:
    """Whether the image is a stack of thick slices according to its voxel sizes, and along which axis."""
    zooms = volume.zooms_mm
    axis = int(np.argmax(zooms))
    in_plane = float(np.mean(np.delete(zooms, axis)))
    spacing = float(zooms[axis])
    thick = spacing >= THICK_MM and spacing >= THICK_RATIO * in_plane
    return Acquisition(axis, round(spacing, 4), round(in_plane, 4), thick)
