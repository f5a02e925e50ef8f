"""Head masks for any contrast: everything brighter than air, with holes filled."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

from haca3_bids.arrays import Mask
from haca3_bids.intensity.background import filled_slices, largest_piece
from haca3_bids.preprocessing.resampling import shrink
from haca3_bids.preprocessing.transforms import inverse
from haca3_bids.volumes.box import bounding_box
from haca3_bids.volumes.interpolation import interpolated
from haca3_bids.volumes.volume import Volume

WORK_MM = 3.0  # voxel size at which the mask is made
CLOSE_MM = 9.0  # gaps that are bridged: skull, sinuses, ear canals; a removed face stays removed
TISSUE_SHARE = 0.6  # of Otsu's threshold, on square roots: skull and CSF are darker than the mean of tissue and air


def head_mask(volume: Volume) -> Mask:
    """The head mask on the grid of ``volume``: the largest connected piece, closed and filled.

    It is computed on a copy of about 3 mm. In a skull-stripped image it is the brain.
    """
    coarse = shrink(volume, WORK_MM)
    mask = _coarse_mask(coarse)
    return _on_fine_grid(mask, coarse, volume)


def _coarse_mask(coarse: Volume) -> Mask:
    data = ndimage.gaussian_filter(coarse.data, 0.5 * WORK_MM / coarse.zooms_mm * (coarse.zooms_mm < 2 * WORK_MM))
    top = np.percentile(data[data > max(float(data.min()), 0.0)], 98)
    root = np.sqrt(np.clip(data / top, 0, 1))  # a shift by the minimum would let one overflowed voxel hide the air
    mask = root > TISSUE_SHARE * threshold_otsu(root)
    mask = largest_piece(ndimage.binary_opening(mask, iterations=1) if min(mask.shape) > 8 else mask)
    mask = closed(mask, coarse.zooms_mm, CLOSE_MM)
    for axis in range(3):  # a slab is open at its ends, so its slices are filled as well
        mask = filled_slices(mask, axis)
    return np.asarray(ndimage.binary_fill_holes(mask), np.bool_)


def dilated(mask: Mask, zooms_mm: NDArray[np.float64], radius_mm: float) -> Mask:
    """The mask and everything within ``radius_mm`` of it."""
    out = np.zeros_like(mask)
    if mask.any():
        box = bounding_box(mask, margin=int(np.ceil(radius_mm / zooms_mm.min())))  # nothing beyond it is so near
        out[box] = ndimage.distance_transform_edt(~mask[box], sampling=zooms_mm) <= radius_mm
    return out


def eroded(mask: Mask, zooms_mm: NDArray[np.float64], radius_mm: float) -> Mask:
    """The part of the mask deeper than ``radius_mm``; the border of the image is not a border of the mask."""
    out = np.zeros_like(mask)
    box = bounding_box(mask, margin=1)  # nothing beyond it matters
    out[box] = ndimage.distance_transform_edt(mask[box], sampling=zooms_mm) > radius_mm
    return out


def closed(mask: Mask, zooms_mm: NDArray[np.float64], radius_mm: float) -> Mask:
    """The mask with gaps of up to twice ``radius_mm`` closed, as if the image had no border."""
    width = np.ceil(radius_mm / zooms_mm).astype(int) + 1
    padded = np.pad(mask, [(int(w), int(w)) for w in width])
    both = eroded(dilated(padded, zooms_mm, radius_mm), zooms_mm, radius_mm)
    inner = tuple(slice(int(w), -int(w)) for w in width)
    return np.asarray(both[inner] | mask, np.bool_)


def _on_fine_grid(mask: Mask, coarse: Volume, fine: Volume) -> Mask:
    if mask.shape == fine.shape:
        return mask
    to_coarse = inverse(coarse.affine) @ fine.affine
    out = mask.astype(np.float32)
    for axis in range(3):  # the grids share their axes
        index = np.arange(fine.shape[axis]) * to_coarse[axis, axis] + to_coarse[axis, 3]
        out = interpolated(out, axis, index)
    return out >= 0.5
