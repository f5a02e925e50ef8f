"""Bounding boxes of masks, and cropping of volumes."""

import numpy as np

from haca3_bids.arrays import Mask
from haca3_bids.volumes.volume import Volume

Box = tuple[slice, ...]


def bounding_box(mask: Mask, margin: int = 0) -> Box:
    """The bounding box of a mask, extended by ``margin`` voxels within the grid.

    The whole grid if the mask is empty.
    """
    box = []
    for axis, length in enumerate(mask.shape):
        occupied = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        if not occupied.size:
            return tuple(slice(0, size) for size in mask.shape)
        box.append(slice(max(0, int(occupied[0]) - margin), min(length, int(occupied[-1]) + 1 + margin)))
    return tuple(box)


def cropped(volume: Volume, box: Box) -> Volume:
    """The part of a volume in a box; voxels keep their position in space."""
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [part.start for part in box]
    return Volume(np.ascontiguousarray(volume.data[box]), affine)
