"""Whether an image was acquired as a volume or in thick slices."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from haca3_bids.volumes.volume import Volume

THICK_MM = 2.0  # slices of at least this thickness,
THICK_RATIO = 1.5  # and this many times the voxel in plane, are those of a 2D acquisition


@dataclass(frozen=True)
class Acquisition:
    """Voxel sizes of a scan along and across its slices; ``axis`` is the array axis across them."""

    axis: int
    spacing_mm: float
    in_plane_mm: float
    two_dimensional: bool

    def described(self) -> dict[str, Any]:
        """For the record."""
        return asdict(self) | {"spacing_mm": round(self.spacing_mm, 4), "in_plane_mm": round(self.in_plane_mm, 4)}


def acquisition(volume: Volume) -> Acquisition:
    """Whether the voxels say that the image is a stack of thick slices, and across which axis."""
    zooms = volume.zooms_mm
    axis = int(np.argmax(zooms))
    in_plane = float(np.mean(np.delete(zooms, axis)))
    spacing = float(zooms[axis])
    return Acquisition(axis, spacing, in_plane, spacing >= THICK_MM and spacing >= THICK_RATIO * in_plane)
