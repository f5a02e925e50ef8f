"""Whether groups of numbers lie apart: area under the curve, silhouette, falling curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats


def auc(low: Sequence[float], high: Sequence[float]) -> float:
    """The chance that one of ``high`` is above one of ``low``, ties half: the area under the ROC curve."""
    if not len(low) or not len(high):
        raise ValueError("both groups need at least one member")
    ranks = stats.rankdata(np.concatenate([low, high]))[len(low) :]
    return float((ranks.sum() - len(high) * (len(high) + 1) / 2) / (len(low) * len(high)))


def silhouette(points: NDArray[np.floating], groups: Sequence[object]) -> float:
    """The mean silhouette of points (n, dimensions), -1..1 (Rousseeuw, J Comput Appl Math 20:53, 1987).

    A point alone in its group counts zero. ValueError with fewer than two groups.
    """
    names = np.array([str(group) for group in groups])
    kinds = np.unique(names)
    if len(kinds) < 2 or len(points) != len(names):
        raise ValueError(f"points of at least two groups are needed, found {len(kinds)}")
    distance = np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=2))
    values = np.zeros(len(points))
    for index, name in enumerate(names):
        own = names == name
        if own.sum() < 2:
            continue
        within = distance[index, own].sum() / (own.sum() - 1)
        nearest = min(distance[index, names == kind].mean() for kind in kinds if kind != name)
        values[index] = (nearest - within) / max(within, nearest) if max(within, nearest) > 0 else 0.0
    return float(values.mean())


def falls(values: Sequence[float]) -> bool:
    """Whether no value is above the one before it, and the last is below the first."""
    steps = np.diff(np.asarray(values, np.float64))
    return bool(len(steps) and (steps <= 0).all() and (steps < 0).any())
