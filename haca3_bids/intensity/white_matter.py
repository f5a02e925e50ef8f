"""The white-matter peak: the most frequent intensity inside a mask of white matter, in the unit of the image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from haca3_bids.errors import BadInput

BINS = 2000  # of the histogram, from 0 to three medians: 0.15 % of the median each
SPAN = 3.0
SMALLEST_MASK = 200  # voxels: fewer have no peak
SMOOTHING = 1.5  # times Silverman's bandwidth: a mode wants a smoother density than the density itself


def white_matter_peak(image: NDArray[np.floating], mask: NDArray[np.bool_]) -> float:
    """The mode of ``image`` inside ``mask``, by a kernel density on intensities divided by their median.

    Lesions and partial volume are a minority and do not move it, and twice the image has twice the peak. Raises
    BadInput where the mask holds fewer than 200 voxels above zero.
    """
    values = np.asarray(image[mask], np.float64)
    values = values[np.isfinite(values) & (values > 0)]
    if values.size < SMALLEST_MASK:
        raise BadInput(
            f"Only {values.size} voxels of white matter have a signal; {SMALLEST_MASK} are required to find its peak.",
            "The field of view may not include the brain, or the registration may have failed. Check the report.",
        )
    unit = float(np.median(values))
    counts, edges = np.histogram(values / unit, bins=BINS, range=(0.0, SPAN))
    density = gaussian_filter1d(counts.astype(np.float64), _bandwidth(values / unit) / (edges[1] - edges[0]))
    return unit * _summit(density, (edges[:-1] + edges[1:]) / 2.0)


def _bandwidth(values: NDArray[np.float64]) -> float:
    """Silverman's rule with the robust one of two spreads; never below two bins."""
    low, high = np.percentile(values, [25, 75])
    spread = min(float(values.std()), float(high - low) / 1.349)
    return float(max(SMOOTHING * 0.9 * spread * values.size**-0.2, 2.0 * SPAN / BINS))


def _summit(density: NDArray[np.float64], centres: NDArray[np.float64]) -> float:
    """Where the parabola through the highest bin and its neighbours has its top."""
    top = int(np.clip(density.argmax(), 1, density.size - 2))
    before, at, after = density[top - 1 : top + 2]
    bend = before - 2 * at + after
    shift = 0.5 * (before - after) / bend if bend < 0 else 0.0
    return float(centres[top] + np.clip(shift, -1, 1) * (centres[1] - centres[0]))
