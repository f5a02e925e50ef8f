"""Similarity of two images: PSNR and SSIM in three dimensions, inside the head mask of the ground truth.

MR intensities have no unit, so both images are divided by their own 95th percentile inside the mask, and the data range
is 1. Both are set to zero outside the mask, so that air does not improve the score.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from haca3_bids.arrays import Array, Mask
from haca3_bids.volumes.box import bounding_box

PERCENTILE = 95.0
DATA_RANGE = 1.0
SIGMA_VOXELS, TRUNCATE = 1.5, 3.5  # Gaussian window of SSIM, 11 voxels wide (Wang et al., IEEE TIP 13:600, 2004)
RADIUS = 5  # of that window
LEAST = 1e-12  # smallest squared error, so that identical images have a finite PSNR
SSIM_SETTINGS = (
    f"3D, Gaussian window of sigma {SIGMA_VOXELS} voxels cut at {TRUNCATE} sigma, K1 0.01, K2 0.03, data range "
    f"{DATA_RANGE:g}, population covariance, mean over the mask"
)


@dataclass(frozen=True)
class Similarity:
    """PSNR and SSIM of an image against a reference."""

    psnr_db: float
    ssim: float


def compared(image: Array, truth: Array, mask: Mask) -> Similarity:
    """PSNR and SSIM of ``image`` against ``truth``, arrays of the same shape, scaled and masked as described above."""
    box = bounding_box(mask)
    inside = mask[box]
    one, other = (np.pad(np.where(inside, scaled(whole, mask)[box], 0), RADIUS) for whole in (image, truth))
    inside = np.pad(inside, RADIUS)
    return Similarity(psnr_db(one, other, inside), ssim(one, other, inside))


def scaled(image: Array, mask: Mask) -> Array:
    """The image divided by its 95th percentile inside ``mask``; ValueError if that is not positive."""
    values = image[mask]
    unit = float(np.percentile(values, PERCENTILE)) if values.size else 0.0
    if not unit > 0:
        raise ValueError(f"the 95th percentile inside the mask is {unit:g}: there is nothing to compare")
    return (image / np.float32(unit)).astype(np.float32)


def psnr_db(image: Array, truth: Array, mask: Mask) -> float:
    """Peak signal-to-noise ratio (dB) inside ``mask`` for a data range of 1; infinite for identical images."""
    error = float(np.mean((image[mask].astype(np.float64) - truth[mask]) ** 2))
    return float(10 * np.log10(DATA_RANGE**2 / error)) if error > 0 else float("inf")


def scaled_psnr_db(image: Array, truth: Array, mask: Mask, head: Mask) -> float:
    """PSNR (dB) inside ``mask`` after scaling ``image`` by the factor that fits the truth best.

    The data range is the 95th percentile of the truth in ``head``, the same for any mask.
    """
    x, y = image[mask].astype(np.float64), truth[mask].astype(np.float64)
    error = max(float(np.mean((best_factor(x, y) * x - y) ** 2)), LEAST)
    return float(20 * np.log10(np.percentile(truth[head], PERCENTILE)) - 10 * np.log10(error))


def fitted(image: Array, truth: Array, mask: Mask, head: Mask) -> Similarity:
    """PSNR and SSIM inside ``mask`` after scaling ``image`` by the factor that fits the truth best there.

    They are those of scikit-image for images that are zero outside the mask, with the 95th percentile of the truth in
    ``head`` as data range; ValueError if that is not positive.
    """
    unit = float(np.percentile(truth[head], PERCENTILE)) if head.any() else 0.0
    if not unit > 0 or not mask.any():
        raise ValueError("the reference is not above zero inside the head: there is nothing to compare")
    box = bounding_box(mask)
    inside = mask[box]
    factor = best_factor(image[mask], truth[mask])
    one, other = (
        np.pad(np.where(inside, whole[box] * np.float32(scale / unit), 0), RADIUS)
        for whole, scale in ((image, factor), (truth, 1.0))
    )
    return Similarity(scaled_psnr_db(image, truth, mask, head), ssim(one, other, np.pad(inside, RADIUS)))


def correlation(image: Array, truth: Array, mask: Mask) -> float:
    """Pearson's correlation of two images inside ``mask``; zero where one of them is constant."""
    x, y = (whole[mask].astype(np.float64) - whole[mask].mean(dtype=np.float64) for whole in (image, truth))
    return float(x @ y) / max(float(np.linalg.norm(x) * np.linalg.norm(y)), LEAST)


def best_factor(values: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """The factor for ``values`` that minimizes the squared difference from ``truth``; 0 if all values are zero."""
    x, y = values.astype(np.float64), truth.astype(np.float64)
    return float(x @ y) / max(float(x @ x), LEAST)


def ssim(image: Array, truth: Array, mask: Mask) -> float:
    """The mean of the structural similarity map inside ``mask``."""
    return float(ssim_map(image, truth)[mask].mean(dtype=np.float64))


def ssim_map(image: Array, truth: Array) -> Array:
    """The structural similarity at every voxel, for any number of axes (Wang et al. 2004, eq. 13)."""
    _, found = structural_similarity(
        image.astype(np.float64),
        truth.astype(np.float64),
        data_range=DATA_RANGE,
        gaussian_weights=True,
        sigma=SIGMA_VOXELS,
        truncate=TRUNCATE,
        use_sample_covariance=False,
        full=True,
    )
    return np.asarray(found, np.float32)
