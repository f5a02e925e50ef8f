"""Agreement of segmented tissues with the true ones, and between two sessions."""

from collections.abc import Mapping

import numpy as np

from haca3_bids.arrays import Array, Mask
from haca3_bids.evaluation.overlap import dice
from haca3_bids.evaluation.segmentation import CSF, GREY, WHITE, segmented

Tissues = Mapping[str, Mask]  # CSF, GM and WM on one grid

NAMES = {"CSF": CSF, "GM": GREY, "WM": WHITE}


def tissues_in(image: Array, brain: Mask, contrast: str) -> dict[str, Mask]:
    """Masks of CSF, GM and WM of an image by ``segmented``; ValueError if the image is constant in the brain."""
    labels = segmented(image, brain, contrast)
    return {name: labels == number for name, number in NAMES.items()}


def against_truth(found: Tissues, truth: Tissues, voxel_ml: float) -> dict[str, dict[str, float]]:
    """For each tissue the true volume (mL), the Dice coefficient, and the signed and absolute volume error (%).

    There is no error for a tissue that is absent from the truth.
    """
    rows = {}
    for name, mask in found.items():
        volume, true = (float(np.count_nonzero(one)) * voxel_ml for one in (mask, truth[name]))
        row = {"true_volume_ml": true, "dice": dice(mask, truth[name])}
        if true:
            row |= {
                "error_percent": 100 * (volume - true) / true,
                "size_of_error_percent": 100 * abs(volume / true - 1),
            }
        rows[name] = row
    return rows


def retest(one: Tissues, other: Tissues) -> dict[str, dict[str, float]]:
    """For each tissue in two sessions: the Dice coefficient, and the volume difference in percent of the mean."""
    rows = {}
    for name, mask in one.items():
        first, second = (float(np.count_nonzero(own)) for own in (mask, other[name]))
        mean = (first + second) / 2
        row = {"retest_dice": dice(mask, other[name])}
        rows[name] = row | ({"retest_difference_percent": 100 * abs(first - second) / mean} if mean else {})
    return rows
