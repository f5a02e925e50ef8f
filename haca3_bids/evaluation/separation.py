"""Whether a sequence of numbers decreases, such as the attention to an increasingly degraded source."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def falls(values: Sequence[float]) -> bool:
    """Whether no value is above the one before it, and the last is below the first."""
    steps = np.diff(np.asarray(values, np.float64))
    return bool(len(steps) and (steps <= 0).all() and (steps < 0).any())
