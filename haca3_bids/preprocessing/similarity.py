"""Mutual information between points of a fixed image and a moving image, fast enough for thousands of trials."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from haca3_bids.arrays import Array, Mask
from haca3_bids.preprocessing.transforms import Matrix, apply, inverse
from haca3_bids.volumes.volume import Volume

BINS = 32  # of each image: Mattes' usual number is 32 to 50
OUTSIDE = -1.0  # sampled value of a point beyond the moving image's field of view


@dataclass(frozen=True)
class Comparison:
    """Points of a fixed image, their intensities as bins, and a moving image as (fractional) bins."""

    points: NDArray[np.float64]  # (n, 3), millimetres of the fixed image
    fixed_bins: NDArray[np.intp]  # (n,)
    moving: Array
    to_moving_voxels: Matrix

    def at(self, pull: Matrix) -> tuple[NDArray[np.float64], float]:
        """Joint distribution (BINS, BINS) of both intensities under ``pull``, and the share of points covered."""
        low, weight, inside = self.bins_under(pull)
        count = int(inside.sum())
        if count == 0:
            return np.full((BINS, BINS), 1.0 / BINS**2), 0.0
        low, weight = low[inside], weight[inside]
        cell = self.fixed_bins[inside] * BINS + low
        joint = np.bincount(cell, 1 - weight, BINS * BINS) + np.bincount(cell + 1, weight, BINS * BINS)
        return joint.reshape(BINS, BINS) / count, count / len(self.points)

    def bins_under(self, pull: Matrix) -> tuple[NDArray[np.intp], NDArray[np.float64], Mask]:
        """At every point: lower bin of the moving image, weight of the next bin, whether it is in the field of view."""
        index = apply(self.to_moving_voxels @ pull, self.points)
        values = ndimage.map_coordinates(
            self.moving, index.T, order=1, mode="constant", cval=OUTSIDE, output=np.float64
        )
        inside = values > 0.5 * OUTSIDE
        values = np.maximum(values, 0)
        low = np.minimum(values.astype(np.intp), BINS - 2)
        return low, values - low, inside

    def score(self, pull: Matrix) -> float:
        """Mutual information (nats) times the fraction of points covered, so that leaving the image is no gain."""
        joint, share = self.at(pull)
        return mutual_information(joint) * share


def mutual_information(joint: NDArray[np.float64]) -> float:
    """Mutual information of a joint distribution, in nats."""
    both = entropy(joint.ravel())
    return entropy(joint.sum(axis=0)) + entropy(joint.sum(axis=1)) - both


def entropy(distribution: NDArray[np.float64]) -> float:
    """Entropy of a distribution, in nats."""
    positive = distribution[distribution > 0]
    return float(-(positive * np.log(positive)).sum())


def compare(fixed: Volume, mask: Mask, moving: Volume, *, limit: int, moving_mask: Mask) -> Comparison:
    """A comparison at up to ``limit`` points, evenly distributed over the mask of the fixed image.

    The moving image's bins span its intensities in ``moving_mask``; brighter voxels are clipped.
    """
    index = np.argwhere(mask)
    index = index[:: max(1, -(-len(index) // limit))]
    points = apply(fixed.affine, index)
    values = fixed.data[tuple(index.T)]
    fixed_bins = np.minimum(_scaled(values, values).astype(np.intp), BINS - 1)
    scaled = _scaled(moving.data, moving.data[moving_mask]).astype(np.float32)
    return Comparison(points, fixed_bins, scaled, inverse(moving.affine))


def _scaled(values: Array, reference: Array) -> NDArray[np.float64]:
    """Intensities from 0 to BINS - 1, cut at the 0.5th and 99.5th percentile of ``reference``."""
    low, high = np.percentile(reference, [0.5, 99.5])
    low = min(float(low), float(values.min()) if values.size else 0.0, 0.0) if low > 0 else float(low)
    return np.clip((values.astype(np.float64) - low) / max(float(high) - low, 1e-12), 0, 1) * (BINS - 1)
