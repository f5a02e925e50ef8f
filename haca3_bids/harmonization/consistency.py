"""Voxels that look alike in every source look alike in the harmonized image, in part: the mean over them is taken in.

The networks say what a voxel is from its neighbourhood, and err from voxel to voxel; the sources themselves show each
one. The mean of the harmonized image over voxels of the same intensities keeps the target's contrast and has the
detail of the sources:

    y' = (1 - c) y + c E[y | x_1, ..., x_n]

The expectation is a regression of the image on the sources of the very session, by boosted trees (Friedman, Ann Stat
29:1189, 2001). The article has no such term (c = 0). A lone source of another contrast cannot tell tissues apart (fluid
and bone are both dark on a T1w): with it nothing is done.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from haca3_bids.harmonization.prepare import Prepared
from haca3_bids.harmonization.residual import share
from haca3_bids.intensity.percentile import Array, Mask
from haca3_bids.networks.haca3 import Haca3Config
from haca3_bids.settings import HarmonizationSettings

VOXELS = 60000  # from which the trees learn
TREES, LEAVES, SMALLEST_LEAF = 60, 31, 50
AT_ONCE = 500_000  # voxels in the asking


def consistency_weight(
    settings: HarmonizationSettings, config: Haca3Config, sources: Collection[str], contrast: str
) -> float:
    """The weight c for an image of one contrast: as asked, else as goes with the weights; 0 for a lone other source."""
    return share(settings.consistency, settings, config) if len(sources) > 1 or contrast in sources else 0.0


def consistent(image: Array, sources: Mapping[str, Prepared], mask: Mask, weight: float, threads: int = 0) -> Array:
    """The image with ``weight`` of its mean over voxels alike in all sources; arrays of one shape, zero off the mask.

    ``threads`` 0 takes as many as there are.
    """
    if not weight:
        return image
    values = image[mask]
    seen = [np.where(source.covered[mask], source.values[mask], np.float32(np.nan)) for source in sources.values()]
    features = np.stack(seen, axis=1)
    chosen = np.random.default_rng(0).choice(len(values), min(VOXELS, len(values)), replace=False)
    trees = HistGradientBoostingRegressor(
        max_iter=TREES,
        max_leaf_nodes=LEAVES,
        min_samples_leaf=SMALLEST_LEAF,
        early_stopping=False,
        random_state=0,
    )
    with threadpool_limits(1, "openmp"):  # half a second; threads that meet at every branch would wait for one another
        trees.fit(features[chosen], values[chosen])
    with threadpool_limits(threads or None, "openmp"):
        parts = np.array_split(features, -(-len(features) // AT_ONCE))
        expected = np.concatenate([trees.predict(part) for part in parts]).clip(min=0)
    made = np.zeros_like(image)
    made[mask] = (1 - weight) * values + weight * expected
    return made
