"""Separation of head and air: Otsu's threshold, then a morphological closing with a ball."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

from haca3_bids.arrays import Array, Mask
from haca3_bids.volumes.box import bounding_box

CLOSING_RADIUS = 20  # voxels: ventricles, sinuses and the dark skull become part of the head
SPECK = 200  # voxels: smaller pieces may be noise in the air, which a closing makes one with the head
WITHOUT_SPECKS = 0.7  # of the mask; where less is left without specks, they were noise: dim scalp leaves 0.8 or more


def head_mask(image: Array, within: Mask | None = None, radius: int = CLOSING_RADIUS, *, noisy: bool = False) -> Mask:
    """The head without the air around it; the threshold is found among the voxels ``within``.

    ``noisy`` leaves out specks where they make up much of the mask, as noise above the threshold does.
    """
    values = image if within is None else image[within]
    if not values.size or values.min() == values.max():
        return image > 0
    bright = image > float(threshold_otsu(values))
    if noisy:
        calm = without_specks(bright, SPECK)
        if _rough_size(calm, radius) < WITHOUT_SPECKS * _rough_size(bright, radius):
            bright = calm
    return closed(bright, radius)


def _rough_size(mask: Mask, radius: int) -> int:
    """How many voxels a closing has, counted on every second one along each axis to save time."""
    return int(closed(mask[::2, ::2, ::2], radius // 2).sum())


def largest_piece(mask: Mask) -> Mask:
    """The largest connected piece of a mask; the mask itself if it is empty."""
    pieces, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray(pieces == sizes.argmax(), np.bool_)


def without_specks(mask: Mask, smallest: int) -> Mask:
    """The mask without connected pieces of fewer than ``smallest`` voxels; unchanged if nothing would be left."""
    box = bounding_box(mask)
    pieces, _ = ndimage.label(mask[box])
    large = np.bincount(pieces.ravel()) >= smallest
    large[0] = False
    if not large.any():
        return mask
    out = np.zeros_like(mask)
    out[box] = large[pieces]
    return out


def closed(mask: Mask, radius: int = CLOSING_RADIUS) -> Mask:
    """The closing of a 3D mask with a ball of ``radius`` voxels, as if on an unbounded canvas."""
    if not mask.any():
        return mask.copy()
    box = bounding_box(mask)
    padded = np.pad(mask[box], radius + 1)
    filled = ~within_radius(~within_radius(padded, radius), radius)
    inner = slice(radius + 1, -radius - 1)
    result = np.zeros_like(mask)
    result[box] = filled[inner, inner, inner]  # a closing never leaves the bounding box
    return result


def within_radius(mask: Mask, radius: int) -> Mask:
    """Voxels no farther than ``radius`` voxels from the mask: its dilation with a ball, exactly.

    The squared Euclidean distance is found one axis after the other (Felzenszwalb and Huttenlocher 2012) and no
    farther than the radius, in small integers: three times faster than a full distance transform, and a tenth of
    its memory.
    """
    squared = _distance_along_first_axis(mask, radius).astype(np.uint16) ** 2
    nearest = squared.copy()
    for step in range(1, radius + 1):
        stepped = squared + np.uint16(step * step)
        np.minimum(nearest[:, step:], stepped[:, :-step], out=nearest[:, step:])
        np.minimum(nearest[:, :-step], stepped[:, step:], out=nearest[:, :-step])
    reached = nearest <= radius * radius
    for step in range(1, radius + 1):
        near_enough = nearest <= radius * radius - step * step
        reached[:, :, step:] |= near_enough[:, :, :-step]
        reached[:, :, :-step] |= near_enough[:, :, step:]
    return reached


def _distance_along_first_axis(mask: Mask, limit: int) -> NDArray[np.uint8]:
    far = np.uint8(limit + 1)
    distance = np.where(mask, np.uint8(0), far)
    for plane in range(1, len(mask)):
        np.minimum(distance[plane], np.minimum(distance[plane - 1] + np.uint8(1), far), out=distance[plane])
    for plane in range(len(mask) - 2, -1, -1):
        np.minimum(distance[plane], np.minimum(distance[plane + 1] + np.uint8(1), far), out=distance[plane])
    return distance
