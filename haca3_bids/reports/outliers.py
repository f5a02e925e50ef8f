"""Outliers and most central sessions: robust distances and medoids."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from haca3_bids.intensity.artifacts import MAD_TO_STD
from haca3_bids.quality.contrast import contrast_vector
from haca3_bids.records.engine import SourceReport
from haca3_bids.records.target import target_in_words
from haca3_bids.reports.cohort import Member

MEASURES = (  # of a scan or image, by which sessions are compared
    "white_matter_spread", "noise", "ghosts", "air", "air_unevenness", "brain_seen", "entropy_focus",
    "joint_variation", "sharpness", "grey_to_white", "fluid_to_white", "coregistration_similarity", "ssim",
    "csf_floor", "theta_distance_before", "theta_distance_after", "eta_distance", "residual",
)  # fmt: skip
FEWEST = 6  # sessions: fewer have no usual value
FARTHEST = 20.0  # robust standard deviations: beyond, one measure would hide all others
OUTLIER = 4.0  # distance from which a session is called an outlier


def robust_distances(members: Sequence[Member]) -> list[tuple[float | None, str]]:
    """For each session, its largest robust distance from the median, and the measure with that distance.

    Each measure of each contrast is converted to robust standard deviations from its median; the distance of a session
    is the largest of them, or None if there are too few sessions for a comparison.
    """
    best: list[tuple[float | None, str]] = [(None, "")] * len(members)
    columns: dict[str, NDArray[np.float64]] = {}
    for index, member in enumerate(members):
        for kind, where, own in member.numbers():
            place = target_in_words(where) if kind == "image" else where
            for measure in MEASURES:
                if isinstance(value := own.get(measure), int | float):
                    name = f"{place}: {measure.replace('_', ' ')}"
                    columns.setdefault(name, np.full(len(members), np.nan))[index] = value
    for name, values in columns.items():
        away = robust_z(values)
        for index in np.flatnonzero(np.isfinite(away)):
            distance = float(min(abs(away[index]), FARTHEST))
            known = best[index][0]
            if known is None or distance > known:
                best[index] = (distance, name)
    return best


def robust_z(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Deviations from the median in robust standard deviations; NaN for missing, few or constant values."""
    known = values[np.isfinite(values)]
    if known.size < FEWEST:
        return np.full(values.shape, np.nan)
    middle = np.median(known)
    scale = MAD_TO_STD * np.median(np.abs(known - middle))
    if scale <= 1e-6 * max(abs(middle), 1e-6):
        return np.full(values.shape, np.nan)
    out: NDArray[np.float64] = (values - middle) / scale
    return out


def percentiles(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The percentage of known values that are not larger than each value; nan remains nan."""
    from scipy.stats import rankdata

    ranks = rankdata(values, method="max", nan_policy="omit")
    out: NDArray[np.float64] = 100.0 * ranks / np.isfinite(values).sum()
    return out


def medoids(members: Sequence[Member], column: str) -> dict[str, tuple[Member, int]]:
    """For each group of a column, the most central session in theta and the number of sessions compared.

    Tables of tissues are compared by their logarithms, because intensities are ratios. Only sessions that pass are
    considered, if there are any, and only those with the most frequent set of contrasts of the group.
    """
    groups: dict[str, list[Member]] = {}
    for member in members:
        if member.sources:
            groups.setdefault(member.groups.get(column, "all") if column else "all", []).append(member)
    found = {}
    for group, own in sorted(groups.items()):
        candidates = [member for member in own if member.record.verdict == "pass"] or own
        counts = Counter(tuple(sorted(member.sources)) for member in candidates)
        _, commonest = max((count, contrasts) for contrasts, count in counts.items())
        alike = [member for member in candidates if tuple(sorted(member.sources)) == commonest]
        points = np.array([_thetas(member.sources, commonest) for member in alike])
        found[group] = (alike[medoid(points)], len(alike))
    return found


def medoid(points: NDArray[np.float64]) -> int:
    """The index of the point with the smallest sum of distances to all; ``points`` is (n, dimensions)."""
    return int(np.argmin([cdist(point[None], points).sum() for point in points]))


def _thetas(sources: Mapping[str, SourceReport], contrasts: Sequence[str]) -> list[float]:
    return [value for contrast in contrasts for value in contrast_vector(sources[contrast].theta)]
