"""No-reference measures of noise, motion and ghosts.

Images are arrays (nx, ny, nz) of about 1 mm with the white-matter peak at ``peak``; masks are boolean on the same grid.
A measure that is undefined (no air, a mask too small) is None. The measures follow those of MRIQC (Esteban et al., PLoS
ONE 12:e0184661, 2017), but require no segmentation.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from haca3_bids.arrays import Array, Mask
from haca3_bids.volumes.box import bounding_box

MAD_TO_STD = 1.4826  # standard deviation of a normal distribution over its median absolute deviation
FINE_VOXELS = 2.0  # sigma of the Gaussian that separates noise from structure
GHOST_VOXELS = 5.0  # sigma of the Gaussian that removes noise but not ghosts
EVEN_MM, SLOW_MM = 10.0, 40.0  # scales between which air is uneven; coil sensitivity varies more slowly
GHOST_PERCENTILES = (5, 95)  # robust to ears, markers and pads around the head
SMALLEST = 500  # voxels required in a mask
FAINT = 0.02  # of the peak: smallest reference level of air
DARK = 1e-3  # of the peak: darker air was set to zero by the scanner or by software
ZEROED_SHARE = 0.5  # fraction of zeroed air above which nothing is measured


def noise(image: Array, white_core: Mask, peak: float) -> float | None:
    """Robust standard deviation of fine detail in the flatter half of white matter, relative to the peak.

    In the other half, tissue borders inside the mask would be measured as noise.
    """
    if white_core.sum() < SMALLEST:
        return None
    box = bounding_box(white_core, margin=int(3 * FINE_VOXELS))
    inner, core = image[box], white_core[box]
    smooth = ndimage.gaussian_filter(inner, FINE_VOXELS, truncate=3.0)
    slope = np.sqrt(sum(np.square(part) for part in np.gradient(smooth)))[core]
    detail = (inner - smooth)[core][slope <= np.median(slope)]
    return float(MAD_TO_STD * np.median(np.abs(detail - np.median(detail))) / peak)


def spread(image: Array, white_core: Mask, peak: float) -> float | None:
    """Robust standard deviation of white matter on the narrower side of its peak, relative to the peak.

    Noise and shading widen both sides; ventricles and lesions inside the template's white matter widen only one.
    """
    if white_core.sum() < SMALLEST:
        return None
    beside = image[white_core] - np.float32(peak)
    sides = [side for side in (beside[beside > 0], -beside[beside < 0]) if side.size]
    return float(MAD_TO_STD * min(np.median(side) for side in sides) / peak) if sides else 0.0


def air_level(image: Array, air: Mask, peak: float) -> float | None:
    """Mean of the air around the head, relative to the peak; None if the air was set to zero."""
    if not _usable(image, air, peak):
        return None
    return float(image[air].mean() / peak)


def ghosts(image: Array, air: Mask, peak: float) -> float | None:
    """Range of the smoothed air, relative to the peak.

    Motion and other phase-encoding errors project parts of the head into the air.
    """
    if not _usable(image, air, peak):
        return None
    low, high = np.percentile(_smooth_air(image, air, GHOST_VOXELS), GHOST_PERCENTILES)
    return float((high - low) / peak)


def unevenness(image: Array, air: Mask, peak: float, zooms_mm: NDArray[np.float64]) -> float | None:
    """Range of the smoothed air of a scan on its own grid, relative to the mean in a larger neighbourhood.

    Motion makes the air uneven, noise of any strength does not. The scan should have at most a coarse bias correction:
    a field estimated in the brain and extrapolated to the air hides faint ghosts.
    """
    if not _usable(image, air, peak):
        return None
    wide = np.maximum(_smooth_air(image, air, SLOW_MM / zooms_mm), FAINT * peak)
    low, high = np.percentile(_smooth_air(image, air, EVEN_MM / zooms_mm) / wide, GHOST_PERCENTILES)
    return float(high - low)


def entropy_focus(image: Array, head: Mask) -> float | None:
    """Entropy focus criterion (0 to 1) of the head's box, raised by blur (Atkinson et al., IEEE TMI 16:903, 1997)."""
    if head.sum() < SMALLEST:
        return None
    values = np.abs(image[bounding_box(head)].astype(np.float64)).ravel()
    energy = float(np.sqrt((values**2).sum()))
    if energy == 0:
        return None
    share = values[values > 0] / energy
    most = np.sqrt(values.size) * np.log(np.sqrt(values.size))
    return float(-(share * np.log(share)).sum() / most)


def joint_variation(image: Array, white: Mask, grey: Mask) -> float | None:
    """Coefficient of joint variation of white and grey matter (Ganzetti et al., Neuroinformatics 14:5, 2016)."""
    if min(white.sum(), grey.sum()) < SMALLEST:
        return None
    medians = [float(np.median(image[mask])) for mask in (white, grey)]
    spreads = [
        MAD_TO_STD * float(np.median(np.abs(image[mask] - median)))
        for mask, median in zip((white, grey), medians, strict=True)
    ]
    apart = abs(medians[0] - medians[1])
    return sum(spreads) / apart if apart > 0 else None


def sharpness(image: Array, brain: Mask, peak: float) -> float | None:
    """Mean of the largest 10 % of gradient magnitudes in the brain, per voxel and relative to the peak."""
    if brain.sum() < SMALLEST:
        return None
    box = bounding_box(brain, margin=1)
    inner = image[box]
    steepness = np.sqrt(sum(np.square(part) for part in np.gradient(inner)))[brain[box]]
    limit = np.percentile(steepness, 90)
    return float(steepness[steepness >= limit].mean() / peak)


def _usable(image: Array, air: Mask, peak: float) -> bool:
    return bool(air.sum() >= SMALLEST and (image[air] < DARK * peak).mean() < ZEROED_SHARE)


def _smooth_air(image: Array, air: Mask, sigma: float | NDArray[np.float64]) -> Array:
    """Gaussian-weighted means around each voxel of the air, (voxels,), over voxels of air only."""
    box = bounding_box(air)
    weight = air[box].astype(np.float32)
    top = ndimage.gaussian_filter(np.where(air, image, 0.0)[box].astype(np.float32), sigma, truncate=3.0)
    out: Array = top / np.maximum(ndimage.gaussian_filter(weight, sigma, truncate=3.0), 1e-3)
    return out[air[box]]
