"""Linear interpolation along one axis of an array."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from haca3_bids.arrays import Array

Values = TypeVar("Values", Array, NDArray[np.float64])


def interpolated(data: Values, axis: int, positions: NDArray[np.float64], *, smooth: bool = False) -> Values:
    """The values at ``positions`` (voxels) along ``axis``; beyond the ends, those of the ends.

    If ``smooth``, the slope is zero at each voxel.
    """
    last = data.shape[axis] - 1
    positions = np.clip(positions, 0, last)
    low = np.minimum(positions.astype(int), last - 1)
    weight = (positions - low).astype(data.dtype).reshape([-1 if a == axis else 1 for a in range(data.ndim)])
    if smooth:
        weight = weight * weight * (3 - 2 * weight)
    out: Values = np.take(data, low, axis) * (1 - weight) + np.take(data, low + 1, axis) * weight
    return out
