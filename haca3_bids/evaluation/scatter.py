"""Change over time: the scatter of a longitudinal measurement and its intraclass correlation, and one person's slope.

The model of ``random_intercept``, as in table 2 of Zuo et al. (2023): the residual includes differences between
scanners. Intervals are from a bootstrap over subjects, p-values from a permutation test that exchanges the methods.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from haca3_bids.evaluation.random_intercept import Array, Moments, fitted, fitted_mixed, moments

DRAWS = 1000
COVERAGE = (2.5, 97.5)  # percentiles of the bootstrap: a 95 % interval
EQUAL = 1e-9  # statistics that differ by less are equal: rounding


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Scatter:
    """The fitted model of one measurement."""

    subjects: int
    sessions: int
    mean: float
    slope: Interval  # per year of age
    icc: Interval
    residual: Interval  # variance

    @property
    def residual_percent(self) -> float:
        """Residual standard deviation in percent of the mean, which does not depend on the scale of the values."""
        return 100 * float(np.sqrt(self.residual.value)) / abs(self.mean) if self.mean else float("nan")


@dataclass(frozen=True)
class Reduction:
    """The change of the residual variance of the same sessions between two methods."""

    percent: Interval  # negative: a reduction
    p: float  # two-sided, permutation


@dataclass(frozen=True)
class Change:
    """The regression line of one person's visits."""

    per_year: float
    at_start: float  # value of the line at the first visit
    residual: float  # standard deviation about the line; 0 with two visits


def scatter(
    subjects: Sequence[str], ages: Sequence[float], values: Sequence[float], draws: int = DRAWS, seed: int = 0
) -> Scatter:
    """The model fitted to sessions (one item each); ValueError if it cannot be fitted."""
    found = moments(subjects, ages, values)
    drawn = fitted(found, _resampled(len(found.visits), draws, seed))
    return Scatter(
        subjects=len(found.visits),
        sessions=int(found.visits.sum()),
        mean=float(np.mean(values)),
        slope=_interval(drawn.slope),
        icc=_interval(drawn.icc),
        residual=_interval(drawn.residual),
    )


def reduction(
    subjects: Sequence[str],
    ages: Sequence[float],
    before: Sequence[float],
    after: Sequence[float],
    draws: int = DRAWS,
    seed: int = 0,
) -> Reduction:
    """The change of the residual variance from ``before`` to ``after``, given one value per session."""
    one, other = moments(subjects, ages, before), moments(subjects, ages, after)
    weights = _resampled(len(one.visits), draws, seed)
    percent = 100 * (fitted(other, weights).residual / fitted(one, weights).residual - 1)
    return Reduction(_interval(percent), exchange_p(one, other, draws, seed))


def exchange_p(one: Moments, other: Moments, draws: int = DRAWS, seed: int = 0) -> float:
    """Two-sided p-value of the ratio of residual variances, by randomly exchanging the methods within subjects."""
    swapped = np.random.default_rng(seed).uniform(size=(1 + draws, len(one.visits))) < 0.5
    swapped[0] = False
    ratio = fitted_mixed(one, other, ~swapped).residual / fitted_mixed(one, other, swapped).residual
    change = np.abs(np.log(ratio))
    return float((change >= change[0] - EQUAL).mean())


def change(years: Sequence[float], values: Sequence[float]) -> Change:
    """The least-squares line through the visits; ValueError unless there are two at different times."""
    t, y = np.asarray(years, np.float64), np.asarray(values, np.float64)
    if t.shape != y.shape or t.size < 2 or np.ptp(t) == 0:
        raise ValueError(f"two visits at different times are needed, found times {t.tolist()}")
    t = t - t.min()
    slope, start = np.polyfit(t, y, 1)
    squares = ((y - start - slope * t) ** 2).sum()
    return Change(float(slope), float(start), float(np.sqrt(squares / (t.size - 2))) if t.size > 2 else 0.0)


def _resampled(subjects: int, draws: int, seed: int) -> Array:
    """Bootstrap weights (1 + draws, subjects); the first row, all ones, is the sample itself."""
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(subjects, np.full(subjects, 1 / subjects), size=draws)
    return np.concatenate([np.ones((1, subjects)), drawn])


def _interval(drawn: Array) -> Interval:
    """The interval from estimates of the sample (the first) and its resamples."""
    resampled = drawn[1:][np.isfinite(drawn[1:])]
    low, high = np.percentile(resampled, COVERAGE) if resampled.size else (np.nan, np.nan)
    return Interval(float(drawn[0]), float(low), float(high))
