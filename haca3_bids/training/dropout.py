"""Contrast dropout: sources hidden from attention in a training step (Zuo et al. 2023, and the released program)."""

import numpy as np

from haca3_bids.arrays import Mask

OWN_DROPPED, DROPPED = 0.8, 0.2  # probability that the target's own contrast, or another, is hidden


def left_by_dropout(present: Mask, target: int, rng: np.random.Generator) -> Mask:
    """The contrasts left by dropout, bool (contrasts,): at least one of the two or more ``present`` ones."""
    chances = np.full(len(present), DROPPED)
    chances[target] = OWN_DROPPED
    available: Mask = present & (rng.uniform(size=len(present)) >= chances)
    if not available.any():
        others = np.flatnonzero(present & (np.arange(len(present)) != target))
        available[rng.choice(others)] = True
    return available
