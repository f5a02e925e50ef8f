"""Histogram matching: the simplest harmonization, as a baseline."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

QUANTILES = 1024


def matched(image: Array, mask: Mask, reference: Array, reference_mask: Mask) -> Array:
    """The image with intensities moved so that, inside ``mask``, it has the reference's histogram; zero outside.

    The reference may show another person on another grid.
    """
    steps = np.linspace(0, 1, QUANTILES)
    own, wanted = (np.quantile(values.astype(np.float64), steps) for values in (image[mask], reference[reference_mask]))
    own, first = np.unique(own, return_index=True)  # where many voxels are equal, they go to the first quantile
    out = np.zeros(image.shape, np.float32)
    out[mask] = np.interp(image[mask], own, wanted[first])
    return out
