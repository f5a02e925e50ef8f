"""Blank voxels: regions that a scanner or a tool filled with a constant value.

Examples are wedges from a rotation, borders from a resampling, and a removed face. Noise never has the same value in a
whole neighbourhood, which distinguishes blank voxels from air in any scan.
"""

import numpy as np
from scipy import ndimage

from haca3_bids.arrays import Array, Mask

WIDTH = 3  # voxels: size of the constant neighbourhood; voxels outside the image always match
FACES_SHARE = 0.05  # smallest fraction of the image's six faces covered by a constant background
ALIKE = 0.9  # smallest fraction of equal neighbours, more than in noise with coarse quantization
GAP = 0.1  # of the range: largest step from a shifted background to the darkest tissue
STANDARDIZED_DEPTH, STANDARDIZED_SHARE = 0.1, 0.05  # below zero, relative to the maximum; fraction of such voxels
SAMPLES = 2_000_000  # approximate number of voxels that are examined
FEWEST_VALUES = 10  # different ones in a scan, which has hundreds; a mask has one, a segmentation of tissues some more


def blank_mask(image: Array) -> Mask:
    """Regions of exact zeros, without isolated voxels."""
    return flat(image == 0)


def flat(mask: Mask) -> Mask:
    """The morphological opening of a mask with a cube of ``WIDTH`` voxels; voxels outside the image are set."""
    if not mask.any():
        return mask
    padded = np.pad(mask, WIDTH - 1, constant_values=True).astype(np.uint8)
    opened = ndimage.maximum_filter(ndimage.minimum_filter(padded, WIDTH), WIDTH)
    inner = slice(WIDTH - 1, 1 - WIDTH)
    return np.asarray(opened[inner, inner, inner] > 0)


def constant_background(image: Array) -> float:
    """The constant value around the head; 0 if there is none."""
    faces = [np.moveaxis(image, axis, 0)[index] for axis in range(3) for index in (0, -1)]
    values, counts = np.unique(np.concatenate([face.ravel() for face in faces]), return_counts=True)
    value, count = values[counts.argmax()], counts.max()
    if value == 0 or count < FACES_SHARE * counts.sum():
        return 0.0
    pairs = [(one == value, other == value) for face in faces for one, other in ((face[:-1], face[1:]),)]
    first, both = (
        sum(int(part.sum()) for part in parts) for parts in zip(*((a, a & b) for a, b in pairs), strict=True)
    )
    return float(value) if both >= ALIKE * max(first, 1) else 0.0


def without_background(image: Array, value: float) -> Array:
    """The image with its constant background of ``value`` set to zero.

    If no voxel is darker (and, for a negative background, the darkest tissue is close to it), all intensities were
    shifted, and are shifted back. Otherwise the background was filled in, and only its voxels are set to zero.
    """
    filled = image == np.float32(value)
    if value == 0 or filled.all():
        return image
    lowest, top = float(image[~filled].min()), float(image.max())
    if value > lowest:
        return np.where(flat(filled), np.float32(0), image)
    if value > 0 or lowest - value < GAP * (top - value):
        return image - np.float32(value)
    return np.where(filled, np.float32(0), image)


def looks_labelled(image: Array) -> bool:
    """Whether there are hardly any different values beside zero, as in masks and segmentations."""
    return len(np.unique(_sampled(image))) < FEWEST_VALUES


def looks_standardized(image: Array) -> bool:
    """Whether many voxels are far below zero, as in z-scores and images scaled to [-1, 1]."""
    values = _sampled(image)
    if not values.size:
        return False
    depth = STANDARDIZED_DEPTH * float(np.percentile(np.abs(values), 99))
    return float((values < -depth).mean()) > STANDARDIZED_SHARE


def _sampled(image: Array) -> Array:
    """The values other than zero of regularly spaced voxels."""
    values = image.ravel(order="K")[:: max(1, image.size // SAMPLES)]
    nonzero: Array = values[values != 0]
    return nonzero
