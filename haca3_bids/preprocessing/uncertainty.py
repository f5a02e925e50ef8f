"""The standard error of an alignment that maximises mutual information.

Mutual information is the mean over points of log(p(f, m) / (p(f) p(m))), the joint distribution of both intensities
over the product of theirs. With that table held fixed, its maximum is an M-estimate, whose covariance is
H^-1 (sum g g') H^-1, with H the second derivative and g the gradients, summed in blocks because neighbouring points are
not independent (Huber, 5th Berkeley Symposium 1:221, 1967). It detects a poorly determined rotation, which measures of
agreement do not. It does not detect noise, to which the table adapts; those measures do.

A scan that covers the fraction f of the brain is a sample of it: brains differ in shape from the template, so the best
position of a part differs from that of the whole. The variance of the mean of a sample about that of its finite
population, S^2 (1 - f) / f, is added (Cochran, Sampling Techniques, 1977, section 2.6, with the brain as its one
unit). Like the standard error of the visible part, S increases with the difference between brain and template;
their ratio was determined on thin slabs of two heads, for which errors are large.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from haca3_bids.preprocessing.head import dilated, head_mask
from haca3_bids.preprocessing.resampling import isotropic_grid, resample, resample_mask, shrink
from haca3_bids.preprocessing.similarity import Comparison, compare
from haca3_bids.preprocessing.template import Template
from haca3_bids.preprocessing.transforms import Matrix, similarity_matrix
from haca3_bids.volumes.volume import Volume

VOXEL_MM, RIM_MM, POINTS = 2.0, 6.0, 60000  # of the comparison: the brain and its rim
SMOOTHING_VOXELS, SMOOTHING_BINS = 1.0, 1.0  # of both images, and of the joint distribution
BLOCK_MM = 40.0  # side of the blocks
STEPS = np.array([1.0, 1.0, 1.0, 0.015, 0.015, 0.015])  # mm and radians: similar displacements at the brain's rim
FLAT = 3e-4  # smallest curvature, in nats per squared step
NEVER = 1e-7  # probability of pairs of bins that do not occur
SHAPE = 3.2  # S, in standard errors of the visible part
CORNERS = ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))  # of a mixed difference: two steps and a sign

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Uncertainty:
    """Standard errors of an alignment, over all three axes."""

    shift_mm: float  # at the centre of the points
    turn_deg: float


def uncertainty(reference: Volume, template: Template, affine: Matrix) -> Uncertainty:
    """The standard errors of the ``affine`` alignment of the template with the reference, as if it were rigid.

    They refer to the position of the whole brain, of which the scan may show a part.
    """
    comparison = _comparison(reference, template)
    seen = max(comparison.at(affine)[1], 1 / len(comparison.points))
    growth = np.hypot(1.0, SHAPE * np.sqrt((1 - seen) / seen))
    centre = comparison.points.mean(axis=0)
    table = _information(comparison, affine)

    def at(place: Vector) -> Vector:
        moved = similarity_matrix(place[3:] * STEPS[3:], place[:3] * STEPS[:3], 0.0, centre)
        return _values(comparison, affine @ moved, table)

    gradient, curvature = _derivatives(at)
    blocks = np.unique(np.floor(comparison.points / BLOCK_MM).astype(int), axis=0, return_inverse=True)[1].ravel()
    sums = np.stack([np.bincount(blocks, column) for column in gradient.T], axis=1)
    sums -= sums.mean(axis=0)  # at the maximum, the gradient is zero
    values, axes = np.linalg.eigh(-curvature)
    inverse = axes @ np.diag(1 / np.maximum(values, FLAT * len(comparison.points))) @ axes.T
    errors = growth * np.sqrt(np.diag(inverse @ (sums.T @ sums) @ inverse)) * STEPS
    return Uncertainty(float(np.linalg.norm(errors[:3])), float(np.degrees(np.linalg.norm(errors[3:]))))


def _comparison(reference: Volume, template: Template) -> Comparison:
    grid = isotropic_grid(template.head, VOXEL_MM)
    brain = resample_mask(template.brain, grid, np.eye(4))
    mask = dilated(brain, grid.zooms_mm, RIM_MM) if template.has_skull else brain
    fixed, moving = resample(template.head, grid, np.eye(4), order=1), shrink(reference, VOXEL_MM)
    fixed, moving = (one.with_data(ndimage.gaussian_filter(one.data, SMOOTHING_VOXELS)) for one in (fixed, moving))
    return compare(fixed, mask, moving, limit=POINTS, moving_mask=head_mask(moving))


def _information(comparison: Comparison, affine: Matrix) -> Vector:
    """Pointwise mutual information of every pair of bins, (fixed, moving)."""
    joint = ndimage.gaussian_filter(comparison.at(affine)[0], SMOOTHING_BINS) + NEVER
    joint /= joint.sum()
    table: Vector = np.log(joint / (joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)))
    return table


def _values(comparison: Comparison, pull: Matrix, table: Vector) -> Vector:
    """The table's value at every point under ``pull``, (n,); 0 outside the moving image."""
    low, weight, inside = comparison.bins_under(pull)
    values: Vector = table[comparison.fixed_bins, low] * (1 - weight) + table[comparison.fixed_bins, low + 1] * weight
    return np.where(inside, values, 0.0)


def _derivatives(at: Callable[[Vector], Vector]) -> tuple[Vector, Vector]:
    """Gradients at every point (n, 6), and the second derivative of their sum (6, 6), by differences of one step."""
    unit = np.eye(6)
    ahead, behind = [at(step) for step in unit], [at(-step) for step in unit]
    gradient = np.stack([(a - b) / 2 for a, b in zip(ahead, behind, strict=True)], axis=1)
    here = at(np.zeros(6)).sum()
    curvature = np.diag([(a + b).sum() - 2 * here for a, b in zip(ahead, behind, strict=True)])
    for i, j in combinations(range(6), 2):
        corners = [sign * at(one * unit[i] + other * unit[j]).sum() for one, other, sign in CORNERS]
        curvature[i, j] = curvature[j, i] = sum(corners) / 4
    return gradient, curvature
