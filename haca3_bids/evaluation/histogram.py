"""Histogram matching: the simplest harmonization, as a baseline."""

from __future__ import annotations

import numpy as np
from skimage.exposure import match_histograms

from haca3_bids.arrays import Array, Mask


def matched(image: Array, mask: Mask, reference: Array, reference_mask: Mask) -> Array:
    """The image with the histogram of the reference inside ``mask``, and zero outside.

    The reference may be of another person and on another grid.
    """
    out = np.zeros(image.shape, np.float32)
    out[mask] = match_histograms(image[mask], reference[reference_mask])
    return out
