"""N4 bias correction (Tustison et al. 2010): the field is estimated on a coarse copy, and the full image divided by it.

The field has no detail finer than 50 mm, so voxels of 4 mm suffice and take a hundredth of the time.
"""

import numpy as np
from scipy.interpolate import make_interp_spline

from haca3_bids.arrays import Array, Mask
from haca3_bids.preprocessing.ants_bridge import seeded_ants, to_ants
from haca3_bids.preprocessing.head import head_mask
from haca3_bids.preprocessing.resampling import shrink
from haca3_bids.preprocessing.transforms import inverse
from haca3_bids.settings import PreprocessingSettings
from haca3_bids.volumes.box import bounding_box, cropped
from haca3_bids.volumes.volume import Volume

ESTIMATE_MM = 4.0  # voxel size of the copy on which the field is estimated
ROUGH_MM = 6.0  # the same for the first pass, which is used for registration only
SPLINE_MM = 200  # distance of the control points at the first level; it is halved at each: 200, 100, 50
ITERATIONS = [30, 30, 30]  # on simulated heads, a fourth level (25 mm) removes tissue contrast
ROUGH_ITERATIONS = [20, 20]
TOLERANCE = 1e-3  # change of the field at which a level ends
SMALLEST_MASK = 100  # coarse voxels: too few for an estimate
DARK_SHARE = 0.3  # of the median: darker voxels are ignored


def correct_bias(volume: Volume, settings: PreprocessingSettings, mask: Mask | None = None) -> Volume:
    """The image divided by its bias field, on its own grid; the mean intensity inside ``mask`` does not change."""
    return without_field(volume, log_field(volume, settings, mask))


def without_field(volume: Volume, field: Volume) -> Volume:
    """The image divided by the field whose logarithm, on a coarse grid with the same axes, is ``field``."""
    return volume.with_data(volume.data / np.exp(_refined(field.data, field, volume)))


def log_field(volume: Volume, settings: PreprocessingSettings, mask: Mask | None = None) -> Volume:
    """The logarithm of the field on a coarse grid around the mask, with mean 0 in ``mask``.

    ``mask`` is the brain; without it, a rough field is estimated in the head, for registration. Outside the mask, the
    field is clipped to its range inside.
    """
    rough = settings.sloppy or mask is None
    voxel_mm = ROUGH_MM if rough else ESTIMATE_MM
    coarse = shrink(volume, voxel_mm)
    inside = head_mask(coarse) if mask is None else shrink(volume.with_data(mask), voxel_mm).data >= 0.5
    inside = _measured(coarse.data, inside)
    if inside.sum() < SMALLEST_MASK:
        return coarse.with_data(np.zeros(coarse.shape))
    inside = _without_dark(coarse.data, inside)
    box = bounding_box(inside, margin=1)  # N4 processes the whole grid
    coarse, inside = cropped(coarse, box), inside[box]
    top = np.percentile(coarse.data[inside], 99.5)  # so that vessels or fat do not dominate
    positive = coarse.with_data(np.clip(coarse.data, 1e-3 * top, top))
    with seeded_ants(settings.seed) as ants:
        estimate = ants.n4_bias_field_correction(
            to_ants(ants, positive),
            mask=to_ants(ants, coarse.with_data(inside)),
            shrink_factor=1,
            convergence={"iters": ROUGH_ITERATIONS if rough else ITERATIONS, "tol": TOLERANCE},
            spline_param=SPLINE_MM,
            return_bias_field=True,
        )
        field = np.log(np.maximum(np.asarray(estimate.numpy(), np.float32), 1e-6))
    known = field[inside]
    field = np.clip(field, known.min(), known.max()) - known.mean(dtype=np.float64).astype(np.float32)
    return coarse.with_data(field)


def _measured(data: Array, mask: Mask) -> Mask:
    """The mask without zeros if these are most of it, as in a slab that was padded to the field of view of a head."""
    positive = mask & (data > 0)
    return positive if 2 * positive.sum() < mask.sum() else mask


def _without_dark(data: Array, mask: Mask) -> Mask:
    """The mask without bone, air and, where it is black, CSF: the logarithm of noise is no signal."""
    bright = mask & (data > DARK_SHARE * np.median(data[mask]))
    return bright if bright.sum() > 0.3 * mask.sum() else mask


def _refined(data: Array, coarse: Volume, fine: Volume) -> Array:
    """A smooth map on a finer grid with the same axes, by cubic splines along one axis after the other."""
    to_coarse = inverse(coarse.affine) @ fine.affine
    for axis in range(3):
        size = data.shape[axis]
        index = np.clip(np.arange(fine.shape[axis]) * to_coarse[axis, axis] + to_coarse[axis, 3], 0, size - 1)
        weights = make_interp_spline(np.arange(size), np.eye(size), k=min(3, size - 1))(index).astype(np.float32)
        data = np.moveaxis(np.tensordot(weights, data, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(data)
