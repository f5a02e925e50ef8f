"""Change over time: the slope of a measure in each person, and the scatter about the regression line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Change:
    """A straight line through one person's visits."""

    per_year: float
    at_start: float  # value of the line at the first visit
    residual: float  # standard deviation about the line; 0 with two visits


def change(years: Sequence[float], values: Sequence[float]) -> Change:
    """Least squares through at least two visits at different times; ValueError otherwise."""
    t, y = np.asarray(years, np.float64), np.asarray(values, np.float64)
    if t.shape != y.shape or t.size < 2 or np.ptp(t) == 0:
        raise ValueError(f"two visits at different times are needed, found times {t.tolist()}")
    t = t - t.min()
    slope, start = np.polyfit(t, y, 1)
    squares = ((y - start - slope * t) ** 2).sum()
    return Change(float(slope), float(start), float(np.sqrt(squares / (t.size - 2))) if t.size > 2 else 0.0)


@dataclass(frozen=True)
class Agreement:
    """How measured rates compare with true ones, over people."""

    people: int
    bias: float  # mean of measured - true, a year
    spread: float  # standard deviation of measured - true
    correlation: float  # not a number with fewer than three people


def rates_agree(measured: Mapping[str, Change], true: Mapping[str, Change]) -> Agreement:
    """Over the people that both have; ValueError with fewer than two."""
    people = sorted(measured.keys() & true.keys())
    if len(people) < 2:
        raise ValueError(f"rates of at least two people are needed, found {len(people)}")
    one, other = (np.array([rates[person].per_year for person in people]) for rates in (measured, true))
    difference = one - other
    varied = len(people) > 2 and min(np.ptp(one), np.ptp(other)) > 0
    correlation = float(np.corrcoef(one, other)[0, 1]) if varied else float("nan")
    return Agreement(len(people), float(difference.mean()), float(difference.std(ddof=1)), correlation)
