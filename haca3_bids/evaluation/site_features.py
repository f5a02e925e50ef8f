"""Features by which the site of an image is identified, and distances between sites."""

from __future__ import annotations

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
EDGES = (50, 75, 95)  # percentiles of the slope, which is smaller in blurred images
QUANTILES = (np.arange(200) + 0.5) / 200
BLOCK = 8  # voxels a side of a block of the coarse copy
BINS = np.linspace(0, 2, 101)  # of histograms; 1: the 95th percentile of the region


def intensity_features(image: Array, region: Mask) -> Table:
    """Percentiles of intensity and slope in the region, (13,), relative to its 95th percentile."""
    unit = _in_box(image, region)
    slope = np.sqrt(np.sum(np.square(np.gradient(unit[0])), axis=0))
    values = [np.percentile(unit[0][unit[1]], LEVELS), np.percentile(slope[unit[1]], EDGES)]
    return np.asarray(np.concatenate(values), np.float64)


def coarse_copy(image: Array, region: Mask) -> Table:
    """Means over blocks of the whole grid, zero outside the region: for images that share a grid. One row."""
    shown = np.where(region, scaled(image, region), 0)
    shown = np.pad(shown, [(0, -size % BLOCK) for size in shown.shape])
    counts = [size // BLOCK for size in shown.shape]
    blocks = shown.reshape(counts[0], BLOCK, counts[1], BLOCK, counts[2], BLOCK)
    return np.asarray(blocks.mean(axis=(1, 3, 5), dtype=np.float64)).ravel()


def quantiles(image: Array, region: Mask) -> Table:
    """The distribution of the intensity in the region as 200 quantiles, relative to its 95th percentile."""
    return np.quantile(scaled(image, region)[region], QUANTILES).astype(np.float64)


def histogram(image: Array, region: Mask, part: Mask) -> Table:
    """Shares of the voxels of ``part`` in BINS of the intensity, relative to the region's 95th percentile."""
    values = np.clip(scaled(image, region)[part], BINS[0], BINS[-1])
    counts = np.histogram(values, BINS)[0]
    return np.asarray(counts / max(counts.sum(), 1), np.float64)


def _in_box(image: Array, region: Mask) -> tuple[Array, Mask]:
    box = bounding_box(region)
    return scaled(image, region)[box], region[box]


def site_distance(rows: Table, sites: Sequence[str]) -> float:
    """Wasserstein's distance between the intensities of two sites, mean over pairs; from ``quantiles`` (images, 200).

    In units of the 95th percentile; zero where all sites have one distribution.
    """
    pooled = {site: rows[mine].ravel() for site, mine in _by_site(sites).items()}
    return float(np.mean([wasserstein_distance(pooled[one], pooled[other]) for one, other in combinations(pooled, 2)]))


def histogram_overlap(rows: Table, sites: Sequence[str]) -> float:
    """What the mean histograms of two sites share, 0..1, mean over pairs; from ``histogram`` (images, bins)."""
    means = {site: rows[mine].mean(axis=0) for site, mine in _by_site(sites).items()}
    return float(np.mean([np.minimum(means[one], means[other]).sum() for one, other in combinations(means, 2)]))


def silhouette(rows: Table, sites: Sequence[str]) -> float:
    """The mean silhouette of images grouped by site, -1..1, from standardized features; near zero: no clusters."""
    return float(silhouette_score(StandardScaler().fit_transform(rows), np.asarray(sites)))


def _by_site(sites: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
    names = np.asarray(sites)
    return {str(site): names == site for site in np.unique(names)}
