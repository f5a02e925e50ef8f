"""Overlap of two segmentations: the Dice coefficient."""

import numpy as np
from numpy.typing import NDArray

from haca3_bids.arrays import Mask


def dice(one: Mask, other: Mask) -> float:
    """The Dice coefficient (Ecology 26:297, 1945); 1 if both masks are empty. ValueError if shapes differ."""
    if one.shape != other.shape:
        raise ValueError(f"shapes {one.shape} and {other.shape} differ")
    total = int(np.count_nonzero(one)) + int(np.count_nonzero(other))
    return 2 * int(np.count_nonzero(one & other)) / total if total else 1.0


def dice_by_label(one: NDArray[np.integer], other: NDArray[np.integer]) -> dict[int, float]:
    """The Dice coefficient of each label that occurs in either map, except 0."""
    labels = sorted({*np.unique(one).tolist(), *np.unique(other).tolist()} - {0})
    return {label: dice(one == label, other == label) for label in labels}
