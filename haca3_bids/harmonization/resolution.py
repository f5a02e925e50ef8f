"""The slice thickness of a source: measured, and taken into account where residuals correct the anatomy.

A scan x in thick slices shows A y, where y is the image at full resolution and A a blur across slices. The model's own
image y of that contrast, which draws on all sources, is therefore compared with the scan at the scan's resolution: the
residual is x - A y, not x - y (iterative back-projection; Irani and Peleg, CVGIP: Graphical Models and Image Processing
53:231, 1991). The model computes x - y, so that it is given x + y - A y instead of x.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from haca3_bids.arrays import Array, Mask
from haca3_bids.volumes.box import Box, bounding_box

WIDTHS = (0.9, 1.2, 1.6, 2.0, 2.5)  # voxels
SMOOTHNESS = (0.0, 0.4, 0.5, 0.6, 0.7)  # voxels: blurs along all axes, of a scan that is merely smooth
UNDERESTIMATED = 1.1  # ratio of the true width to the measured one, since the model's image is blurred as well
DIRECTED = 0.97  # largest ratio of the squared error after blurring along the axis to that along any other, or all
DETAIL = 2.0  # voxels; what a Gaussian of this width removes is compared: coarse errors say nothing about slices
MIDDLE = 0.5  # fraction of each axis of the head in which the blur is measured
DARK, UNLIKE = 0.1, 0.5  # relative to white matter and to the model: darker or less similar voxels do not count


@dataclass(frozen=True)
class Blur:
    """A Gaussian blur along one axis of a volume; ``width`` is its standard deviation in voxels."""

    axis: int
    width: float

    @property
    def slice_width(self) -> float:
        """The width of slices that are blurred like this once they are interpolated linearly, in voxels."""
        return round(2 * self.width, 1)

    def __call__(self, image: Array) -> Array:
        blurred: Array = gaussian_filter1d(image, self.width, self.axis)
        return blurred


def slice_blur(scan: Array, model: Array) -> Blur | None:
    """The blur across the slices of ``scan``: that of ``model`` along one axis which makes their details most similar.

    Both are zero outside the head. None if no axis is better than the others, or a blur along all of them is as good:
    then they differ in other respects.
    """
    middle = _middle(model > 0)
    scan, model = scan[middle], model[middle]
    counts = (scan > 0) & (model > DARK) & (np.abs(scan - model) < UNLIKE * model)
    seen = _detail(scan)[counts]
    smooth = min(_error(seen, _detail(gaussian_filter(model, width))[counts]) for width in SMOOTHNESS)
    best: list[tuple[float, Blur]] = []
    for axis in range(scan.ndim):
        tried = [Blur(axis, width) for width in WIDTHS]
        errors = [_error(seen, _detail(blur(model))[counts]) for blur in tried]
        best.append((min(errors), tried[int(np.argmin(errors))]))
    (error, blur), (second, _), *_ = sorted(best, key=lambda one: one[0])
    return Blur(blur.axis, UNDERESTIMATED * blur.width) if error < DIRECTED * min(second, smooth) else None


def restored(scan: Array, model: Array, blur: Blur) -> Array:
    """The scan x as x + y - A y, not below zero, with the model's image y and its ``blur`` A y."""
    sharp = blur(model)
    np.subtract(model, sharp, out=sharp)  # in place: these are whole volumes, at the peak of memory
    sharp += scan
    return np.maximum(sharp, 0, out=sharp)


def _detail(image: Array) -> Array:
    """What remains of an image without its coarse structure."""
    detail: Array = image - gaussian_filter(image, DETAIL)
    return detail


def _middle(head: Mask) -> Box:
    """The middle of the bounding box of a mask."""
    box = []
    for part in bounding_box(head):
        rim = round((part.stop - part.start) * (1 - MIDDLE) / 2)
        box.append(slice(part.start + rim, part.stop - rim))
    return tuple(box)


def _error(scan: Array, model: Array) -> float:
    """Mean squared difference after scaling the model by the best factor."""
    factor = float(scan @ model) / max(float(model @ model), 1e-12)
    return float(np.square(scan - factor * model).mean()) if len(scan) else 0.0
