"""Quality numbers of a harmonized image: structural similarity, distance to the target, invalid voxels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from haca3_bids.arrays import Array, Mask
from haca3_bids.evaluation.similarity import compared
from haca3_bids.intensity.blank import blank_mask
from haca3_bids.quality.contrast import contrast_vector, is_table, name_doubt
from haca3_bids.records.engine import EngineResult, HarmonizedImage
from haca3_bids.settings import WHITE_MATTER_PEAK

FLOOR_PERCENTILE = 2.0  # of the brain


@dataclass(frozen=True)
class ImageQuality:
    """Quality numbers of one harmonized image, None if undefined; described in ``thresholds``."""

    nan_count: int
    clipped_share: float | None
    brain_without_source: float | None
    csf_floor: float | None
    ssim: float | None
    theta_distance_before: float | None
    theta_distance_after: float | None
    eta_distance: float | None
    eta_clean_percentile: float | None
    artifact_level: float | None
    residual: float | None
    name_doubt: float | None


def measure_result(
    image: HarmonizedImage, result: EngineResult, harmonized: Array, source: Array | None, brain: Mask
) -> ImageQuality:
    """The quality of a harmonized image; ``source`` is the session's own image of that contrast, if any."""
    target = image.target
    own, reference = image.sources.get(target.contrast), result.references.get(target.contrast)
    alike = [one.target for one in result.images if one.target.contrast == target.contrast]
    tells_of_source = target in alike[:1] or not alike  # once, even with several targets of its contrast
    made = {one.target.contrast for one in result.images}
    told = {target.contrast: own} if own and tells_of_source else {}
    if result.images and target == result.images[0].target:  # and on sources without an image of their contrast
        told |= {name: report for name, report in image.sources.items() if name not in made}
    doubts = [name_doubt(name, report.looks_like, report.theta) for name, report in told.items()]
    finite = np.nan_to_num(harmonized[brain], nan=0.0, posinf=0.0, neginf=0.0)
    eta_distance = math.dist(own.eta, reference.eta) if own and reference else None
    return ImageQuality(
        nan_count=image.not_finite,
        clipped_share=clipped_share(finite),
        brain_without_source=image.brain_without_source,
        csf_floor=float(np.percentile(finite, FLOOR_PERCENTILE) / WHITE_MATTER_PEAK) if finite.size else None,
        ssim=None if source is None else structure_kept(source, harmonized, brain),
        theta_distance_before=theta_distance(own.theta, target.theta) if own else None,
        theta_distance_after=theta_distance(image.theta_after, target.theta),
        eta_distance=eta_distance,
        eta_clean_percentile=percentile(eta_distance, reference.clean_eta) if reference else None,
        artifact_level=max((report.eta[0] for report in told.values() if len(report.eta) == 1), default=None),
        residual=own.residual if own else None,
        name_doubt=max((doubt for doubt in doubts if doubt is not None), default=None),
    )


def percentile(value: float | None, quantiles: Sequence[float] | None) -> float | None:
    """The percentile (0 to 100) of a value, given quantiles in equal steps; None if either is unknown."""
    if value is None or not quantiles:
        return None
    return float(np.interp(value, quantiles, np.linspace(0, 100, len(quantiles))))


def clipped_share(values: Array) -> float | None:
    """Fraction of values that are not positive, or equal to the maximum if that occurs several times."""
    if not values.size:
        return None
    top = float(values.max())
    return float(((values <= 0) | ((values >= top) & (np.count_nonzero(values >= top) > 1))).mean())


def structure_kept(source: Array, harmonized: Array, brain: Mask) -> float | None:
    """Mean structural similarity inside the brain (as in ``haca3 evaluate``); None if it is undefined.

    Voxels outside the field of view of the source are left out: they are inferred from other sources.
    """
    try:
        return compared(np.nan_to_num(harmonized), source, brain & ~blank_mask(source)).ssim
    except ValueError:  # no positive intensities
        return None


def theta_distance(one: Sequence[float] | None, other: Sequence[float] | None) -> float | None:
    """Root mean square of the log differences of two tables, or the Euclidean distance of two thetas of HACA3."""
    if not one or not other:
        return None
    apart = math.dist(contrast_vector(one), contrast_vector(other))
    return apart / math.sqrt(len(one)) if is_table(one) else apart
