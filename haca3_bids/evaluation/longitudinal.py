"""Change over time: the slope of a measurement of one person, and the residual scatter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Change:
    """The regression line of one person's visits."""

    per_year: float
    at_start: float  # value of the line at the first visit
    residual: float  # standard deviation about the line; 0 with two visits


def change(years: Sequence[float], values: Sequence[float]) -> Change:
    """The least-squares line through the visits; ValueError unless there are two at different times."""
    t, y = np.asarray(years, np.float64), np.asarray(values, np.float64)
    if t.shape != y.shape or t.size < 2 or np.ptp(t) == 0:
        raise ValueError(f"two visits at different times are needed, found times {t.tolist()}")
    t = t - t.min()
    slope, start = np.polyfit(t, y, 1)
    squares = ((y - start - slope * t) ** 2).sum()
    return Change(float(slope), float(start), float(np.sqrt(squares / (t.size - 2))) if t.size > 2 else 0.0)
