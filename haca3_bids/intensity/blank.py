"""Blank voxels: regions of a constant value that a scanner or a tool filled in.

They are wedges from a rotation, borders from a resampling, or a removed face. Noise never gives the same value to a
whole neighbourhood, which distinguishes blank voxels from air in any scan.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from haca3_bids.arrays import Array, Mask

WIDTH = 3  # voxels: the neighbourhood that must be alike; beyond the image's border everything is
FACES_SHARE = 0.05  # of the image's six faces: a value that covers less is no background
ALIKE = 0.9  # of neighbours: values of noise, however coarse their steps, agree less often
GAP = 0.1  # of the range: from a background to the darkest tissue is less, from a mark more
STANDARDIZED_DEPTH, STANDARDIZED_SHARE = 0.1, 0.05  # negative by a tenth of the image's top, in so many voxels
SAMPLES = 2_000_000  # voxels that are looked at: enough for a share


def blank_mask(image: Array) -> Mask:
    """Regions in which every voxel is exactly zero, without single voxels that happen to be."""
    return flat(image == 0)


def flat(mask: Mask) -> Mask:
    """What of a mask is ``WIDTH`` voxels wide along every axis, or lies at the border of the image."""
    if not mask.any():
        return mask
    padded = np.pad(mask, WIDTH - 1, constant_values=True).astype(np.uint8)
    opened = ndimage.maximum_filter(ndimage.minimum_filter(padded, WIDTH), WIDTH)
    inner = slice(WIDTH - 1, 1 - WIDTH)
    return np.asarray(opened[inner, inner, inner] > 0)


def constant_background(image: Array) -> float:
    """The value that fills the surroundings of the head; 0 where they are no constant, or zero."""
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
    """The image with a constant background at zero.

    Of an image that begins where its background ends, the zero was moved, and is moved back: as long as nothing is
    darker, and of negative ones as long as the darkest tissue is near. Others were filled in, and are replaced.
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


def looks_standardized(image: Array) -> bool:
    """Whether a good part of the voxels is far below zero, as z-scores and values from -1 to 1 are."""
    values = image.ravel(order="K")[:: max(1, image.size // SAMPLES)]
    values = values[values != 0]
    if not values.size:
        return False
    depth = STANDARDIZED_DEPTH * float(np.percentile(np.abs(values), 99))
    return float((values < -depth).mean()) > STANDARDIZED_SHARE
