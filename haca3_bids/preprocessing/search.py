"""Global search for the head: many starts at coarse resolution, ranked by mutual information."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from haca3_bids.preprocessing.similarity import Comparison
from haca3_bids.preprocessing.transforms import Matrix, inverse, similarity_matrix

MM_PER_RADIAN = 60.0  # approximate displacement of the cortex by a rotation, to compare rotations and shifts
SCALE_SPREAD = 0.12  # standard deviation of the logarithm of the size of heads relative to the template
SCALE_WEIGHT = 0.02  # penalty (nats) per squared standard deviation, because slabs do not determine the size
CHILD_LOG_SCALE = -0.2
LOG_SCALES = (0.0, CHILD_LOG_SCALE)  # starts: an adult's head, and one of four fifths of its length
SHIFTS_MM = (-45.0, -20.0, 0.0, 20.0, 45.0)  # along the axis of the body, because the neck moves the centre of mass


@dataclass(frozen=True)
class Start:
    """A start: rotation vector (radians), shift (mm) and log scale about a centre of the fixed image."""

    parameters: NDArray[np.float64]  # (7,)
    centre: NDArray[np.float64]

    @property
    def pull(self) -> Matrix:
        """The start as a matrix."""
        return similarity_matrix(self.parameters[:3], self.parameters[3:6], float(self.parameters[6]), self.centre)


def rotation_grid(limit_deg: float, step_deg: float) -> NDArray[np.float64]:
    """Rotation vectors (n, 3) in radians, on a cubic lattice within a ball; no rotation is the first."""
    n = int(limit_deg // step_deg)
    steps = np.arange(-n, n + 1) * step_deg
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    length = np.linalg.norm(grid, axis=1)
    kept = grid[length <= limit_deg + 1e-9]
    return np.asarray(np.radians(kept[np.argsort(np.linalg.norm(kept, axis=1), kind="stable")]))


def starts(
    rotations: NDArray[np.float64],
    centre: NDArray[np.float64],
    moving_centres: Sequence[NDArray[np.float64]],
    log_scales: Sequence[float] = (0.0,),
) -> Iterator[Start]:
    """All rotations and scales about the fixed centre, moved to each moving centre and shifted along the z axis."""
    for rotation in rotations:
        turn = similarity_matrix(rotation, np.zeros(3))[:3, :3]
        for moving_centre in moving_centres:
            for shift, log_scale in product(SHIFTS_MM, log_scales):
                translation = moving_centre - centre + turn @ np.array([0.0, 0.0, shift])
                yield Start(np.array([*rotation, *translation, log_scale]), centre)


def best(
    candidates: Sequence[Start], score: Callable[[Matrix], float], keep: int, apart_mm: float = 25.0
) -> list[Start]:
    """The ``keep`` candidates with the best scores that are at least ``apart_mm`` apart."""
    scores = np.array([score(candidate.pull) for candidate in candidates])
    kept: list[Start] = []
    for index in np.argsort(-scores, kind="stable"):
        if all(distance_mm(candidates[index], other) >= apart_mm for other in kept):
            kept.append(candidates[index])
        if len(kept) == keep:
            break
    return kept


def distance_mm(one: Start, other: Start) -> float:
    """The distance between the points of a head under two starts, in mm (root mean square over a 60 mm ball)."""
    change = inverse(one.pull) @ other.pull
    moved = change[:3, :3] @ one.centre + change[:3, 3] - one.centre
    stretch = MM_PER_RADIAN * np.linalg.norm(change[:3, :3] - np.eye(3)) / np.sqrt(3.0)
    return float(np.hypot(np.linalg.norm(moved), stretch))


def improved(start: Start, comparison: Comparison, *, scaled: bool, step_mm: float, evaluations: int) -> Start:
    """The start at the nearest maximum of the score (Powell's method); rigid unless ``scaled``."""
    units = np.array([1.0 / MM_PER_RADIAN] * 3 + [1.0] * 3 + [1.0 / MM_PER_RADIAN] * (1 if scaled else 0))
    size = len(units)
    first = start.parameters.copy()

    def moved(steps: NDArray[np.float64]) -> Start:
        parameters = first.copy()
        parameters[:size] += units * steps
        return Start(parameters, start.centre)

    def cost(steps: NDArray[np.float64]) -> float:
        candidate = moved(steps)
        return SCALE_WEIGHT * float(candidate.parameters[6] / SCALE_SPREAD) ** 2 - comparison.score(candidate.pull)

    found = minimize(
        cost,
        np.zeros(size),
        method="Powell",
        options={"direc": step_mm * np.eye(size), "xtol": 0.02, "ftol": 1e-5, "maxfev": evaluations},
    )
    return moved(np.asarray(found.x)) if found.fun <= cost(np.zeros(size)) else start
