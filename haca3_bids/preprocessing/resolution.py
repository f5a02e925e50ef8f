"""Whether an image was acquired as a volume or in thick slices."""

import numpy as np

from haca3_bids.records.preprocessing import Acquisition
from haca3_bids.volumes.volume import Volume

THICK_MM = 2.0  # slices of at least this thickness,
THICK_RATIO = 1.5  # and this many times the voxel in plane, are those of a 2D acquisition

ROUNDING = 1.01  # tolerance of sizes in headers
COARSE_MM = 4.0  # in plane: cortex is thinner, and such scans are usually localizers


def acquisition(volume: Volume) -> Acquisition:
    """Whether the image is a stack of thick slices according to its voxel sizes, and along which axis."""
    zooms = volume.zooms_mm
    axis = int(np.argmax(zooms))
    in_plane = float(np.mean(np.delete(zooms, axis)))
    spacing = float(zooms[axis])
    thick = spacing >= THICK_MM and spacing >= THICK_RATIO * in_plane
    return Acquisition(axis, round(spacing, 4), round(in_plane, 4), thick)


def coarse_voxels(volume: Volume, name: str) -> str:
    """A sentence, which begins with ``name``, on a scan whose voxels are coarse in plane; else empty."""
    zooms = volume.zooms_mm
    if sorted(zooms)[1] <= COARSE_MM * ROUNDING:
        return ""
    sizes = " x ".join(f"{size:.3g}" for size in zooms)
    return f"{name} has voxels of {sizes} mm: it may be a localizer, and cannot show details of the brain."
