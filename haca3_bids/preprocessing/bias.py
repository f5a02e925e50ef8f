"""N4 bias correction: the field is estimated on a coarse copy of the head, and the full image is divided by it.

Tustison et al. 2010. The field has no detail finer than 50 mm, so 4 mm voxels suffice, at a hundredth of the time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline

from haca3_bids.preprocessing.ants_bridge import from_ants, seeded_ants, to_ants
from haca3_bids.preprocessing.head import head_mask
from haca3_bids.preprocessing.resampling import shrink
from haca3_bids.preprocessing.transforms import inverse
from haca3_bids.settings import PreprocessingSettings
from haca3_bids.volumes.box import bounding_box, cropped
from haca3_bids.volumes.volume import Volume

ESTIMATE_MM = 4.0  # voxel size of the copy on which the field is estimated
ROUGH_MM = 6.0  # the same for the first pass, which only serves the registration
SPLINE_MM = 200  # distance of the control points at the first level; it is halved at each: 200, 100, 50
ITERATIONS = [30, 30, 30]  # a fourth level (25 mm) takes contrast of tissue for bias, on simulated heads
ROUGH_ITERATIONS = [20, 20]
TOLERANCE = 1e-3  # change of the field at which a level ends
SMALLEST_MASK = 100  # coarse voxels: in fewer there is no field to be found
DARK_SHARE = 0.3  # of the median: what is darker does not count


def correct_bias(volume: Volume, settings: PreprocessingSettings, mask: NDArray[np.bool_] | None = None) -> Volume:
    """The image with its bias field divided out, on its own grid; mean brightness inside ``mask`` stays."""
    return without_field(volume, log_field(volume, settings, mask))


def without_field(volume: Volume, field: Volume) -> Volume:
    """The image divided by the field whose logarithm, on a coarse grid with the same axes, is ``field``."""
    return volume.with_data(volume.data / np.exp(_refined(field.data, field, volume)))


def log_field(volume: Volume, settings: PreprocessingSettings, mask: NDArray[np.bool_] | None = None) -> Volume:
    """The logarithm of the field on a coarse grid about the mask; its mean in ``mask`` is 0.

    ``mask`` is the brain; without one a rough field is found in the head, to register by. Beyond the mask the field
    stays within the range that it has inside.
    """
    rough = settings.sloppy or mask is None
    voxel_mm = ROUGH_MM if rough else ESTIMATE_MM
    coarse = shrink(volume, voxel_mm)
    inside = head_mask(coarse) if mask is None else shrink(volume.with_data(mask), voxel_mm).data >= 0.5
    if inside.sum() < SMALLEST_MASK:
        return coarse.with_data(np.zeros(coarse.shape))
    inside = _without_dark(coarse.data, inside)
    box = bounding_box(inside, margin=1)  # N4 computes the whole grid it is given
    coarse, inside = cropped(coarse, box), inside[box]
    top = np.percentile(coarse.data[inside], 99.5)  # a vessel or a fat lobule must not steer the field
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
        field = np.log(np.maximum(from_ants(estimate), 1e-6))
    known = field[inside]
    field = np.clip(field, known.min(), known.max()) - known.mean(dtype=np.float64).astype(np.float32)
    return coarse.with_data(field)


def _without_dark(data: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask without bone, air and, where it is black, CSF: the logarithm of noise is no signal."""
    bright = mask & (data > DARK_SHARE * np.median(data[mask]))
    return bright if bright.sum() > 0.3 * mask.sum() else mask


def _refined(data: NDArray[np.float32], coarse: Volume, fine: Volume) -> NDArray[np.float32]:
    """A smooth map on a finer grid with the same axes, by cubic splines along one axis after the other."""
    to_coarse = inverse(coarse.affine) @ fine.affine
    for axis in range(3):
        size = data.shape[axis]
        index = np.clip(np.arange(fine.shape[axis]) * to_coarse[axis, axis] + to_coarse[axis, 3], 0, size - 1)
        weights = make_interp_spline(np.arange(size), np.eye(size), k=min(3, size - 1))(index).astype(np.float32)
        data = np.moveaxis(np.tensordot(weights, data, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(data)
