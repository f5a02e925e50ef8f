"""Image features for identifying the site, and distances between sites."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance
from sklearn.metrics import silhouette_score
from sklearn.preprocessing import StandardScaler

from haca3_bids.arrays import Array, Mask
from haca3_bids.evaluation.similarity import scaled
from haca3_bids.volumes.box import bounding_box

Table = NDArray[np.float64]

LEVELS = np.arange(5, 100, 10)  # percentiles of the intensity
EDGES = (50, 75, 95)  # percentiles of the gradient magnitude, which is smaller in blurred images
QUANTILES = (np.arange(200) + 0.5) / 200
BLOCK = 8  # side of the blocks of the coarse copy, in voxels
BINS = np.linspace(0, 2, 101)  # edges of histograms, relative to the 95th percentile of the region


def intensity_features(image: Array, region: Mask) -> Table:
    """Percentiles of intensity and gradient magnitude in the region, (13,), relative to its 95th percentile."""
    box = bounding_box(region)
    inside, seen = scaled(image, region)[box], region[box]
    slope = np.sqrt(np.sum(np.square(np.gradient(inside)), axis=0))
    values = [np.percentile(inside[seen], LEVELS), np.percentile(slope[seen], EDGES)]
    return np.asarray(np.concatenate(values), np.float64)


def coarse_copy(image: Array, region: Mask) -> Table:
    """Means over blocks of the grid as a vector, with zeros outside the region; for images on the same grid."""
    shown = np.where(region, scaled(image, region), 0)
    shown = np.pad(shown, [(0, -size % BLOCK) for size in shown.shape])
    counts = [size // BLOCK for size in shown.shape]
    blocks = shown.reshape(counts[0], BLOCK, counts[1], BLOCK, counts[2], BLOCK)
    return np.asarray(blocks.mean(axis=(1, 3, 5), dtype=np.float64)).ravel()


def quantiles(image: Array, region: Mask) -> Table:
    """200 quantiles of the intensity in the region, relative to its 95th percentile."""
    return np.quantile(scaled(image, region)[region], QUANTILES).astype(np.float64)


def histogram(image: Array, region: Mask, part: Mask) -> Table:
    """Fractions of the voxels of ``part`` in BINS of intensity, relative to the region's 95th percentile."""
    values = np.clip(scaled(image, region)[part], BINS[0], BINS[-1])
    counts = np.histogram(values, BINS)[0]
    return np.asarray(counts / max(counts.sum(), 1), np.float64)


def site_distance(rows: Table, sites: Sequence[str]) -> float:
    """Mean Wasserstein distance between the intensity distributions of two sites, from ``quantiles`` (images, 200).

    The unit is the 95th percentile; 0 if all sites have the same distribution.
    """
    pooled = {site: rows[mine].ravel() for site, mine in _by_site(sites).items()}
    return float(np.mean([wasserstein_distance(pooled[one], pooled[other]) for one, other in combinations(pooled, 2)]))


def histogram_overlap(rows: Table, sites: Sequence[str]) -> float:
    """Mean overlap (0 to 1) of the mean histograms of two sites, from ``histogram`` (images, bins)."""
    means = {site: rows[mine].mean(axis=0) for site, mine in _by_site(sites).items()}
    return float(np.mean([np.minimum(means[one], means[other]).sum() for one, other in combinations(means, 2)]))


def silhouette(rows: Table, sites: Sequence[str]) -> float:
    """Mean silhouette (-1 to 1) of images grouped by site, from standardized features; near 0: no clusters."""
    return float(silhouette_score(StandardScaler().fit_transform(rows), np.asarray(sites)))


def _by_site(sites: Sequence[str]) -> dict[str, Mask]:
    names = np.asarray(sites)
    return {str(site): names == site for site in np.unique(names)}
