"""The box of a mask, and the part of a volume in a box."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from haca3_bids.volumes.volume import Volume

Box = tuple[slice, ...]


def bounding_box(mask: NDArray[np.bool_], margin: int = 0) -> Box:
    """The smallest block that holds the mask, ``margin`` voxels wider where the grid allows.

    The whole grid where the mask is empty.
    """
    (found,) = ndimage.find_objects(mask.astype(np.uint8), max_label=1)
    box = found or tuple(slice(0, length) for length in mask.shape)
    return tuple(
        slice(max(0, part.start - margin), min(length, part.stop + margin))
        for part, length in zip(box, mask.shape, strict=True)
    )


def cropped(volume: Volume, box: Box) -> Volume:
    """The part of a volume in a box; each voxel stays where it was in space."""
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [part.start for part in box]
    return Volume(np.ascontiguousarray(volume.data[box]), affine)
