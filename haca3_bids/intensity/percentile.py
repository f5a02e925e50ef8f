"""The scale on which the networks see an image: its 95th percentile."""

import numpy as np

from haca3_bids.arrays import Array, Mask
from haca3_bids.errors import BadInput

PERCENTILE = 95.0
CEILING = 5.0  # upper limit of scaled intensities
TINY = 1e-5  # added to the percentile, as the released program does,
TINY_SHARE = 1e-3  # but at most this share of it: intensities have no unit
CUT_AREA = 0.2  # relative area of an outermost plane above which the head is cut by the field of view


def upper_percentile(image: Array, name: str = "the image") -> float:
    """The 95th percentile of all voxels, background included; BadInput if it is not positive."""
    value = float(np.percentile(image, PERCENTILE)) if image.size else 0.0
    if not value > 0:
        raise BadInput(
            f"The 95th percentile of {name} is {value:g}: its field of view contains no signal.",
            "Inspect the file: it may be empty, or contain almost nothing of the head.",
        )
    return value


def scaled(image: Array, percentile: float) -> Array:
    """The image divided by its 95th percentile and clipped to [0, 5]."""
    result = image / np.float32(percentile + min(TINY, TINY_SHARE * percentile))
    return np.clip(result, 0, CEILING, out=result)


def estimated_coverage(image: Array, cut_area: float = CUT_AREA) -> Mask:
    """An estimate of the field of view: everything but the empty slabs where the head ends in a plane.

    A head tapers off; if its outermost plane has a large area (above ``cut_area``, relative to the largest one), the
    field of view ended there.
    """
    covered = np.ones(image.shape, bool)
    for axis in range(image.ndim):
        others = tuple(other for other in range(image.ndim) if other != axis)
        areas = np.count_nonzero(image, axis=others)
        planes = np.flatnonzero(areas)
        if not planes.size:
            continue
        along = np.moveaxis(covered, axis, 0)
        limit = cut_area * areas.max()
        if areas[planes[0]] > limit:
            along[: planes[0]] = False
        if areas[planes[-1]] > limit:
            along[planes[-1] + 1 :] = False
    return covered
