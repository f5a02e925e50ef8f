"""A simple segmentation of CSF, grey and white matter, for comparing images.

A Gaussian mixture of three classes is fitted to the intensities inside a brain mask by expectation maximization, and
labels are smoothed by iterated conditional modes on a Markov random field (Zhang et al., IEEE TMI 20:45, 2001). Classes
have a least width: without it, the pure voxels of an image with little noise make narrow classes, and nearly all
partial volume falls to the widest one.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from haca3_bids.arrays import Array, Mask
from haca3_bids.volumes.box import bounding_box

CSF, GREY, WHITE = 1, 2, 3
ORDERS = {  # tissues from dark to bright
    "T1w": (CSF, GREY, WHITE),
    "T2w": (WHITE, GREY, CSF),
    "PDw": (WHITE, GREY, CSF),
    "FLAIR": (CSF, WHITE, GREY),
}
BINS, ROUNDS, SWEEPS = 512, 100, 3
NEIGHBOURS = 0.4  # weight of each neighbour in the Markov random field
NARROWEST = 0.1  # standard deviation of a class, as a fraction of the distance from the darkest to the brightest mean
TOLERANCE = 1e-7  # change of the means at convergence
VENTRICLE_REACH = 6  # voxels
STARTS = (15, 50, 85)  # percentiles, the initial means


def segmented(image: Array, brain: Mask, contrast: str) -> NDArray[np.uint8]:
    """A label map of CSF, GREY and WHITE inside ``brain``, 0 outside; ``contrast`` is one of ORDERS.

    ValueError if the image is constant there.
    """
    box = bounding_box(brain, margin=1)
    out = np.zeros(image.shape, np.uint8)
    out[box] = _segmented(image[box], brain[box], contrast)
    return out


def _segmented(image: Array, brain: Mask, contrast: str) -> NDArray[np.uint8]:
    values = image[brain].astype(np.float64)
    low, high = np.percentile(values, [0.1, 99.9]) if values.size else (0.0, 0.0)
    if not high > low:
        raise ValueError("the image is constant inside the brain: it has no tissues")
    unit = (np.clip(image, low, high) - low) / max(high - low, 1e-12)
    means, variances, weights = mixture(unit[brain])
    cost = np.stack([
        (unit - mean) ** 2 / (2 * variance) + 0.5 * np.log(variance) - np.log(weight)
        for mean, variance, weight in zip(means, variances, weights, strict=True)
    ]).astype(np.float32)  # fmt: skip
    labels = cost.argmin(axis=0)
    for _ in range(SWEEPS):
        labels = (cost - NEIGHBOURS * _votes(labels, brain)).argmin(axis=0)
    tissues = np.array(ORDERS[contrast], np.uint8)
    return np.where(brain, tissues[labels], 0).astype(np.uint8)


def volumes_ml(tissues: NDArray[np.uint8], ventricles: Mask, voxel_mm3: float) -> dict[str, float]:
    """Volumes (mL) of grey matter (GM), white matter (WM) and fluid in and around ``ventricles`` (LatV).

    ``tissues`` is a map from ``segmented``, ``ventricles`` the mask of the template. Since ventricles differ in size,
    fluid up to VENTRICLE_REACH voxels away is included.
    """
    near = ndimage.binary_dilation(ventricles, iterations=VENTRICLE_REACH)
    parts = {"GM": tissues == GREY, "WM": tissues == WHITE, "LatV": (tissues == CSF) & near}
    return {name: float(part.sum() * voxel_mm3 / 1000) for name, part in parts.items()}


def _votes(labels: NDArray[np.integer], brain: Mask) -> Array:
    """The number of a voxel's six neighbours inside the brain with each label, (3, ...)."""
    cross = ndimage.generate_binary_structure(labels.ndim, 1).astype(np.float32)
    cross[(1,) * labels.ndim] = 0
    return np.stack([
        ndimage.convolve(((labels == kind) & brain).astype(np.float32), cross, mode="constant") for kind in range(3)
    ])  # fmt: skip


def mixture(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Means (ascending), variances and weights of three normal distributions, (3,) each, for values in 0..1."""
    counts, edges = np.histogram(values, BINS, (0, 1))
    at = (edges[:-1] + edges[1:]) / 2
    means: NDArray[np.float64] = np.asarray(np.percentile(values, STARTS), np.float64)
    variances, weights = np.full(3, max(values.var() / 9, 1e-5)), np.full(3, 1 / 3)
    for _ in range(ROUNDS):
        likelihood = weights * np.exp(-((at[:, None] - means) ** 2) / (2 * variances)) / np.sqrt(variances)
        share = likelihood / np.maximum(likelihood.sum(axis=1, keepdims=True), 1e-300) * counts[:, None]
        total = np.maximum(share.sum(axis=0), 1e-9)
        new = (share * at[:, None]).sum(axis=0) / total
        narrowest = max(NARROWEST * np.ptp(new), 1.0 / BINS)
        variances = np.maximum((share * (at[:, None] - new) ** 2).sum(axis=0) / total, narrowest**2)
        weights = total / total.sum()
        done = np.abs(new - means).max() < TOLERANCE
        means = new
        if done:
            break
    order = np.argsort(means)
    return means[order], variances[order], weights[order]
