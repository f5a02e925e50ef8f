"""Paired comparison of methods in travelling subjects, each scanned at several sites."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from haca3_bids.evaluation.similarity import Similarity


@dataclass(frozen=True)
class Result:
    """The similarity achieved by one method for one image of one person."""

    person: str
    contrast: str
    method: str
    found: Similarity


@dataclass(frozen=True)
class Gain:
    """The mean improvement of one method over another, over people."""

    people: int
    psnr_db: float  # mean difference
    ssim: float
    p_psnr: float  # Wilcoxon's signed-rank test, two-sided
    p_ssim: float


@dataclass(frozen=True)
class Difference:
    """The means of a measure in the same people under two methods."""

    people: int  # with both values
    mean: float
    mean_baseline: float
    p: float  # Wilcoxon's signed-rank test, two-sided


def paired(one: Mapping[str, float], baseline: Mapping[str, float]) -> Difference:
    """Comparison of two methods in the people with values of both; ValueError if there are none."""
    people = [person for person in one if person in baseline]
    if not people:
        raise ValueError("nobody has both numbers")
    x, y = (np.array([values[person] for person in people], np.float64) for values in (one, baseline))
    return Difference(len(people), float(x.mean()), float(y.mean()), paired_p(x - y))


def by_person(results: Iterable[Result], contrast: str, method: str) -> dict[str, Similarity]:
    """The mean similarity of each person over their images."""
    mine: dict[str, list[Similarity]] = {}
    for result in results:
        if (result.contrast, result.method) == (contrast, method):
            mine.setdefault(result.person, []).append(result.found)
    return {
        person: Similarity(float(np.mean([one.psnr_db for one in found])), float(np.mean([one.ssim for one in found])))
        for person, found in sorted(mine.items())
    }


def gain(results: Sequence[Result], contrast: str, method: str, baseline: str) -> Gain:
    """Improvement of ``method`` over ``baseline`` in the people with both; ValueError if there are none."""
    one, other = by_person(results, contrast, method), by_person(results, contrast, baseline)
    people = [person for person in one if person in other]
    if not people:
        raise ValueError(f"nobody has both {method} and {baseline} for {contrast}")
    psnr = np.array([one[person].psnr_db - other[person].psnr_db for person in people])
    ssim = np.array([one[person].ssim - other[person].ssim for person in people])
    return Gain(len(people), float(psnr.mean()), float(ssim.mean()), paired_p(psnr), paired_p(ssim))


def paired_p(differences: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test of paired differences; 1 if all are zero."""
    if not np.any(differences):
        return 1.0
    return float(stats.wilcoxon(differences, method="exact" if len(differences) <= 25 else "auto").pvalue)
