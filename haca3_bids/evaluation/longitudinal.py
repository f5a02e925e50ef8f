"""Change over time: the slope of a measure in each person, and the scatter about the regression line."""

from __future__ import annotations

from collections.abc import Sequence
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
