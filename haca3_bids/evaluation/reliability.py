"""Reliability of measurements: intraclass correlations from the mean squares of a balanced two-way table.

Shrout and Fleiss, Psychol Bull 86:420 (1979); for balanced data these are the estimates of the mixed model too.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.float64]


@dataclass(frozen=True)
class Reliability:
    """Intraclass correlations of single measurements, and standard deviations of the variance components."""

    agreement: float  # ICC(2,1): differences between sites count as errors
    consistency: float  # ICC(3,1): a constant difference between sites does not
    between_people: float
    between_sites: float
    residual: float


def reliability(table: Table) -> Reliability:
    """Reliability of measurements (people, sites); ValueError unless there are two of each and none is missing."""
    values = np.asarray(table, np.float64)
    if values.ndim != 2 or min(values.shape) < 2 or not np.isfinite(values).all():
        found = " x ".join(map(str, values.shape))
        raise ValueError(f"a table of at least two people and two sites without gaps is needed, found {found}")
    if values.min() == values.max():
        raise ValueError("all values are equal: nothing varies between people or sites")
    people, sites = values.shape
    mean, rows, columns = values.mean(), values.mean(axis=1), values.mean(axis=0)
    ms_people = sites * ((rows - mean) ** 2).sum() / (people - 1)
    ms_sites = people * ((columns - mean) ** 2).sum() / (sites - 1)
    residuals = values - rows[:, None] - columns[None, :] + mean
    ms_error = (residuals**2).sum() / ((people - 1) * (sites - 1))
    spread = ms_people - ms_error
    absolute = ms_people + (sites - 1) * ms_error + sites * (ms_sites - ms_error) / people
    relative = ms_people + (sites - 1) * ms_error
    return Reliability(
        agreement=_ratio(spread, absolute),
        consistency=_ratio(spread, relative),
        between_people=_root(spread / sites),
        between_sites=_root((ms_sites - ms_error) / people),
        residual=_root(ms_error),
    )


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else float("nan")


def _root(variance: float) -> float:
    return float(np.sqrt(max(variance, 0.0)))
