"""The white-matter peak: the most frequent intensity inside a mask of white matter, in the unit of the image."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from haca3_bids.arrays import Mask
from haca3_bids.errors import BadInput

BINS = 2000  # bins of the histogram, each 0.15 % of the median
SPAN = 3.0  # range of the histogram, in medians
SMALLEST_MASK = 200  # positive voxels required
TRACE, FEW = 0.05, 0.01  # of the 99th percentile: no white matter is so dark; of the voxels: too few to make a peak
SMOOTHING = 1.5  # times Silverman's bandwidth, since mode estimation requires a smoother density


def white_matter_peak(image: NDArray[np.floating], mask: Mask) -> float:
    """The mode of the positive intensities inside ``mask``, by kernel density estimation.

    It is robust to lesions and partial volume, and scales with the image. Raises BadInput if the mask has fewer than
    200 positive voxels.
    """
    values = np.asarray(image[mask], np.float64)
    values = _without_traces(values[np.isfinite(values) & (values > 0)])
    if values.size < SMALLEST_MASK:
        raise BadInput(
            f"Only {values.size} voxels of white matter have a signal; {SMALLEST_MASK} are required to find its peak.",
            "The field of view may not include the brain, or the registration may have failed. Check the report.",
        )
    unit = float(np.median(values))
    counts, edges = np.histogram(values / unit, bins=BINS, range=(0.0, SPAN))
    density = gaussian_filter1d(counts.astype(np.float64), _bandwidth(values / unit) / (edges[1] - edges[0]))
    return unit * _summit(density, (edges[:-1] + edges[1:]) / 2.0)


def _without_traces(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values without what an interpolation leaves where a scan was padded with zeros: many, but close to zero."""
    bright = values[values > TRACE * np.percentile(values, 99)] if values.size else values
    return bright if bright.size < (1 - FEW) * values.size else values


def _bandwidth(values: NDArray[np.float64]) -> float:
    """Silverman's rule of thumb, at least two bins."""
    low, high = np.percentile(values, [25, 75])
    spread = min(float(values.std()), float(high - low) / 1.349)
    return float(max(SMOOTHING * 0.9 * spread * values.size**-0.2, 2.0 * SPAN / BINS))


def _summit(density: NDArray[np.float64], centres: NDArray[np.float64]) -> float:
    """The maximum of the parabola through the highest bin and its neighbours."""
    top = int(np.clip(density.argmax(), 1, density.size - 2))
    before, at, after = density[top - 1 : top + 2]
    bend = before - 2 * at + after
    shift = 0.5 * (before - after) / bend if bend < 0 else 0.0
    return float(centres[top] + np.clip(shift, -1, 1) * (centres[1] - centres[0]))
