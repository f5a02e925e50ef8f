"""The linear mixed model value = a0 + a1 age + b_subject + e by restricted maximum likelihood (REML), for many draws.

Laird and Ware, Biometrics 38:963 (1982). With one random intercept, the profile likelihood depends only on the ratio of
the variances and on sums over the visits of each subject. Resampling subjects only changes the weights of these sums,
so that all draws of a bootstrap or permutation test are fitted together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from haca3_bids.arrays import Mask

Array = NDArray[np.float64]

RATIOS = np.concatenate([[0.0], np.logspace(-3, 7, 31)])  # grid of variance between subjects / residual variance
NARROWINGS = 28  # steps of the golden-section search on the grid: 0.618 ** 28 is 1e-6 of the interval
GOLDEN = (np.sqrt(5) - 1) / 2
LEAST = 1e-14  # smallest relative residual sum of squares: less is rounding


@dataclass(frozen=True)
class Moments:
    """Sums and sums of products over the visits of each subject of (1, age, value), the last two centred."""

    visits: NDArray[np.int_]  # (subjects,), number of visits
    sums: Array  # (subjects, 3)
    squares: Array  # (subjects, 3, 3)
    centre: tuple[float, float]  # means of age and value


@dataclass(frozen=True)
class Fits:
    """Estimates for each draw, shape (draws,); NaN where a draw does not determine the slope."""

    intercept: Array  # value at age zero
    slope: Array  # per year of age
    between: Array  # variance of the subjects' intercepts
    residual: Array  # variance

    @property
    def icc(self) -> Array:
        """The intraclass correlation: the fraction of the variance that is between subjects."""
        return self.between / (self.between + self.residual)


def moments(subjects: Sequence[str], ages: Sequence[float], values: Sequence[float]) -> Moments:
    """The sums required by the model; ValueError if it cannot be fitted to these data."""
    names, index = np.unique(np.asarray(subjects), return_inverse=True)
    age, value = np.asarray(ages, np.float64), np.asarray(values, np.float64)
    if not (np.isfinite(age).all() and np.isfinite(value).all()):
        raise ValueError("an age or a value is missing or is not a finite number")
    visits = np.bincount(index, minlength=len(names))
    if len(names) < 3 or visits.max(initial=0) < 2:
        raise ValueError(
            f"three subjects, and two sessions of at least one, are needed; found {len(names)} subjects with at most "
            f"{visits.max(initial=0)} sessions"
        )
    if np.ptp(value) == 0:
        raise ValueError("all values are the same")
    if np.ptp(age) == 0:
        raise ValueError("all ages are the same")
    centre = float(age.mean()), float(value.mean())
    rows = np.stack([np.ones_like(age), age - centre[0], value - centre[1]], axis=1)
    sums, squares = np.zeros((len(names), 3)), np.zeros((len(names), 3, 3))
    np.add.at(sums, index, rows)
    np.add.at(squares, index, rows[:, :, None] * rows[:, None, :])
    return Moments(visits, sums, squares, centre)


def fitted(found: Moments, weights: Array | None = None) -> Fits:
    """REML estimates with subjects weighted by ``weights`` (draws, subjects), by default 1."""
    return _fitted([found], [np.ones((1, len(found.visits))) if weights is None else np.asarray(weights, np.float64)])


def fitted_mixed(one: Moments, other: Moments, swapped: Mask) -> Fits:
    """REML estimates with the values of ``other`` for the subjects that are ``swapped`` (draws, subjects)."""
    return _fitted([one, other], [(~swapped).astype(np.float64), swapped.astype(np.float64)])


def _fitted(tables: Sequence[Moments], weights: Sequence[Array]) -> Fits:
    likelihood = _Likelihood(tables, weights)
    scores = np.stack([likelihood.at(np.full(likelihood.draws, ratio)) for ratio in RATIOS])
    best = scores.argmax(axis=0)
    low, high = RATIOS[np.maximum(best - 1, 0)], RATIOS[np.minimum(best + 1, len(RATIOS) - 1)]
    for _ in range(NARROWINGS):
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        rises = likelihood.at(left) < likelihood.at(right)
        low, high = np.where(rises, left, low), np.where(rises, high, right)
    ratio = (low + high) / 2
    ratio = np.where(likelihood.at(np.zeros_like(ratio)) >= likelihood.at(ratio), 0.0, ratio)
    return likelihood.estimates(ratio)


class _Likelihood:
    """The restricted profile likelihood of every draw as a function of the ratio of variances."""

    def __init__(self, tables: Sequence[Moments], weights: Sequence[Array]) -> None:
        self.draws, self.centre = len(weights[0]), tables[0].centre
        pairs = list(zip(tables, weights, strict=True))
        self.total: Array = np.sum([np.tensordot(w, t.squares, 1) for t, w in pairs], axis=0)
        self.counts = np.unique(np.concatenate([table.visits for table in tables]))  # distinct numbers of visits
        self.people = np.zeros((self.draws, len(self.counts)))
        self.between = np.zeros((self.draws, len(self.counts), 3, 3))
        for table, weight in pairs:
            products = table.sums[:, :, None] * table.sums[:, None, :]
            for place, count in enumerate(self.counts):
                mine = table.visits == count
                self.people[:, place] += weight[:, mine].sum(axis=1)
                self.between[:, place] += np.tensordot(weight[:, mine], products[mine], 1)
        self.freedom = self.people @ self.counts - 2
        self.floor = LEAST * np.maximum(self.total[:, 2, 2], 1e-300)

    def _solved(self, ratio: Array) -> tuple[Array, Array, Array]:
        """Coefficients (draws, 2), weighted residual sum of squares (draws,) and determinant of X'V^-1 X (draws,)."""
        share = ratio[:, None] / (1 + self.counts * ratio[:, None])
        weighted = self.total - np.einsum("dg,dgij->dij", share, self.between)
        a, b, c = weighted[:, 0, 0], weighted[:, 0, 1], weighted[:, 1, 1]
        u, v, w = weighted[:, 0, 2], weighted[:, 1, 2], weighted[:, 2, 2]
        det = a * c - b * b
        det = np.where(det > 1e-12 * a * np.maximum(c, 1e-300), det, np.nan)  # NaN for a single age
        beta = np.stack([c * u - b * v, a * v - b * u], axis=1) / det[:, None]
        rest = np.maximum(w - beta[:, 0] * u - beta[:, 1] * v, self.floor)
        return beta, rest, det

    def at(self, ratio: Array) -> Array:
        """Twice the log-likelihood (draws,) up to a constant; minus infinity where it is undetermined."""
        _, rest, det = self._solved(ratio)
        spread = (self.people * np.log1p(self.counts * ratio[:, None])).sum(axis=1)
        score = -self.freedom * np.log(rest) - spread - np.log(det)
        return np.where(np.isfinite(score), score, -np.inf)

    def estimates(self, ratio: Array) -> Fits:
        """The estimates at the given ratio of each draw."""
        beta, rest, _ = self._solved(ratio)
        residual = rest / self.freedom
        intercept = self.centre[1] + beta[:, 0] - beta[:, 1] * self.centre[0]
        return Fits(intercept, beta[:, 1], np.where(np.isnan(residual), np.nan, ratio * residual), residual)
