"""Quality numbers of a preprocessed scan, measured before the networks are applied."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from haca3_bids.arrays import Array, Mask
from haca3_bids.intensity import artifacts
from haca3_bids.quality.contrast import likely_contrast, name_margin
from haca3_bids.records.preprocessing import ScanQuality as ScanQuality
from haca3_bids.settings import WHITE_MATTER_PEAK

AIR_MM = 30.0  # distance of air from the brain; skull, scalp and hair are thinner
SIGNAL = 0.08  # relative to white matter, after smoothing: smallest signal of the brain
SIGNAL_SMOOTHING_MM = 3.0  # so that thin fluid is not regarded as missing


@dataclass(frozen=True)
class Regions:
    """Masks of one session on the template grid."""

    head: Mask
    brain: Mask
    white: Mask  # core
    grey: Mask
    fluid: Mask  # ventricles
    air: Mask  # from ``air_above``


@dataclass(frozen=True)
class AsScanned:
    """A scan of about 2 mm on its own grid, without fine bias correction, and masks on that grid."""

    image: Array
    air: Mask
    white: Mask
    zooms_mm: NDArray[np.float64]
    blank: Mask | None = None  # on the template grid: zeros that were filled in, not measured


def measure_scan(
    image: Array, covered: Mask, regions: Regions, contrast: str, raw: AsScanned | None = None
) -> ScanQuality:
    """The quality of a scan on the template grid (1 mm) whose white matter is scaled to WHITE_MATTER_PEAK.

    Without the scan on its own grid, ``raw``, the unevenness of its air is None.
    """
    peak = WHITE_MATTER_PEAK
    white, air = regions.white & covered, regions.air & covered
    if raw is not None and raw.blank is not None:
        air = measured_air(air, raw.blank)
    tissue = _to_white(image, regions.grey & covered, peak), _to_white(image, regions.fluid & covered, peak)
    known = None if None in tissue else (float(tissue[0] or 0), float(tissue[1] or 0))
    return ScanQuality(
        brain_seen=brain_seen(image, covered, regions.brain, peak),
        head_imputed=float((regions.head & ~covered).sum() / max(int(regions.head.sum()), 1)),
        white_matter_spread=artifacts.spread(image, white, peak),
        noise=artifacts.noise(image, white, peak),
        ghosts=artifacts.ghosts(image, air, peak),
        air_unevenness=None if raw is None else _unevenness(raw),
        air=artifacts.air_level(image, air, peak),
        entropy_focus=artifacts.entropy_focus(image, regions.head & covered),
        joint_variation=artifacts.joint_variation(image, white, regions.grey & covered),
        sharpness=artifacts.sharpness(image, regions.brain & covered, peak),
        grey_to_white=tissue[0],
        fluid_to_white=tissue[1],
        name_margin=name_margin(contrast, *known) if known else None,
        likely_contrast=likely_contrast(*known) if known else None,
    )


def brain_seen(image: Array, covered: Mask, brain: Mask, peak: float) -> float:
    """Fraction of the template's brain that is in the field of view and has signal."""
    smooth = ndimage.gaussian_filter(image, SIGNAL_SMOOTHING_MM, truncate=2.0)
    seen = brain & covered & (smooth > SIGNAL * peak)
    return float(seen.sum() / max(int(brain.sum()), 1))


def air_above(brain: Mask) -> Mask:
    """Air beside and above the upper half of the brain (1 mm grid), away from neck and eyes."""
    heights = np.flatnonzero(brain.any(axis=(0, 1)))
    air = np.zeros_like(brain)
    if heights.size:
        middle = int(heights[len(heights) // 2])
        air[..., middle:] = ndimage.distance_transform_edt(~brain[..., middle:]) > AIR_MM
    return air


def measured_air(air: Mask, blank: Mask) -> Mask:
    """The air without blank voxels; empty if these are the greater part, since the rest may be haze."""
    left = air & ~blank
    return left if left.sum() > (1 - artifacts.ZEROED_SHARE) * air.sum() else np.zeros_like(air)


def _unevenness(raw: AsScanned) -> float | None:
    if raw.white.sum() < artifacts.SMALLEST:
        return None
    return artifacts.unevenness(raw.image, raw.air, float(np.median(raw.image[raw.white])), raw.zooms_mm)


def _to_white(image: Array, mask: Mask, peak: float) -> float | None:
    return float(np.median(image[mask]) / peak) if mask.sum() >= artifacts.SMALLEST else None
