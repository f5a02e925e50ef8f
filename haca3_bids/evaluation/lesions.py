"""The contrast of lesions to the surrounding tissue, and the recovery of segmentation accuracy by harmonization."""

import numpy as np
from scipy import ndimage

from haca3_bids.arrays import Array, Mask

NEAR, FAR = 2, 6  # distance in voxels from a lesion to the tissue compared with it
LEAST_DROP = 0.02  # of a Dice coefficient: a fraction of less says nothing


def surroundings(lesions: Mask, tissue: Mask) -> Mask:
    """The voxels of ``tissue`` that are 2 to 6 voxels away from a lesion."""
    near, far = (ndimage.binary_dilation(lesions, iterations=reach) for reach in (NEAR, FAR))
    return np.asarray(far & ~near & tissue)


def lesion_contrast(image: Array, lesions: Mask, around: Mask) -> float:
    """(lesion - surroundings) / surroundings, of medians; ValueError if either is empty or the latter not positive."""
    if not lesions.any() or not around.any():
        raise ValueError("there is no lesion, or no tissue around one")
    reference = float(np.median(image[around]))
    if not reference > 0:
        raise ValueError(f"the tissue around the lesions has the intensity {reference:g}")
    return float(np.median(image[lesions])) / reference - 1


def recovered(own: float, before: float, after: float) -> float:
    """Fraction of the drop from ``own`` to ``before`` that ``after`` recovers; NaN if it is below LEAST_DROP."""
    drop = own - before
    return (after - before) / drop if drop >= LEAST_DROP else float("nan")
