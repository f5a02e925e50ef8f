"""Contrast dropout: what attention may choose from in a training step (paper and released program)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

OWN_DROPPED, DROPPED = 0.8, 0.2  # chance of the target's own contrast, and of any other, to be hidden from attention


def left_by_dropout(present: NDArray[np.bool_], target: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which of two or more present contrasts are left, at least one; the target's own is hidden most often."""
    chances = np.full(len(present), DROPPED)
    chances[target] = OWN_DROPPED
    available: NDArray[np.bool_] = present & (rng.uniform(size=len(present)) >= chances)
    if not available.any():
        others = np.flatnonzero(present & (np.arange(len(present)) != target))
        available[rng.choice(others)] = True
    return available
