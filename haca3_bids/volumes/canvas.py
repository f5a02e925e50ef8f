"""The canvas of the networks (224 voxels per side, 1 mm, LPS+), and the mapping from any grid and back."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from haca3_bids.arrays import Array, Mask
from haca3_bids.volumes.box import Box, bounding_box
from haca3_bids.volumes.placement import Affine
from haca3_bids.volumes.volume import Volume, reorient, reorient_like

CANVAS = 224  # voxels a side: the field of view of the released networks
WHOLE: Box = (slice(0, CANVAS),) * 3
AUTHORS_GRID = (192, 224, 192)  # shape of the grid on which the released networks were trained
AUTHORS_ORIGIN_MM = (96, 96, -78)  # RAS+ millimetres of its first voxel in MNI space; it is stored LPS+
LPS = (-1, -1, 1)  # signs of RAS+ millimetres along the axes of an LPS+ array
SUPERIOR = 2  # the canvas axis that points upwards
SIZE_TOLERANCE = 0.02  # voxels within 2 % of 1 mm are treated as 1 mm: heads vary by more
SPLINE = 3  # order of interpolation where voxels are not 1 mm

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Canvas:
    """The mapping of a grid to the canvas (``place``) and back (``restore``); created by ``fit_canvas``."""

    affine: Affine  # of the caller's grid
    shape: Triple  # of the caller's grid
    zooms_mm: tuple[float, float, float]  # of the caller's grid once stored LPS+; (1, 1, 1): no interpolation
    upright_shape: Triple  # voxels of 1 mm along L, P, S
    start: Triple  # canvas index of the first upright voxel; negative where an axis is cropped
    window: Box = WHOLE  # the part of the canvas that may be used

    @property
    def resamples(self) -> bool:
        """Whether voxels are interpolated to 1 mm, rather than copied."""
        return self.zooms_mm != (1.0, 1.0, 1.0)

    @property
    def box(self) -> Box:
        """The part of the canvas that the grid occupies."""
        return tuple(
            slice(min(max(part.start, start), part.stop), max(part.start, min(part.stop, start + n)))
            for part, start, n in zip(self.window, self.start, self.upright_shape, strict=True)
        )

    @property
    def cut_share(self) -> float:
        """The fraction of the grid outside the canvas."""
        seen = np.prod([part.stop - part.start for part in self.box])
        return float(1 - seen / np.prod(self.upright_shape))

    def place(self, volume: Volume) -> Array:
        """The image on the canvas, shape (224, 224, 224), zero where the grid does not reach."""
        upright = reorient(volume).data
        if self.resamples:
            upright = _interpolated(upright, np.array(self.zooms_mm), self.upright_shape)
        canvas = np.zeros((CANVAS,) * 3, np.float32)
        canvas[self.box] = upright[self._seen]
        return canvas

    def place_mask(self, volume: Volume) -> Mask:
        """A binary mask on the canvas, thresholded at one half."""
        return self.place(volume) > 0.5

    def restore(self, canvas: NDArray[np.generic]) -> Volume:
        """The canvas back on the caller's grid, zero where the canvas does not reach: the inverse of ``place``."""
        upright = np.zeros(self.upright_shape, np.float32)
        upright[self._seen] = canvas[self.box]
        grid = Volume(np.broadcast_to(np.float32(0), self.shape), self.affine)
        stored = reorient(grid)
        if self.resamples:
            upright = _interpolated(upright, 1 / np.array(self.zooms_mm), stored.shape)
        return Volume(reorient_like(stored.with_data(upright), grid).data, self.affine)

    def restore_labels(self, canvas: NDArray[np.generic]) -> Volume:
        """Integer labels on the canvas back on the caller's grid; 0 where no label fills more than half of a voxel."""
        if not self.resamples:
            return self.restore(canvas)
        present = [value for value in np.unique(canvas) if value]
        shares = [self.restore(canvas == value).data for value in present]
        labels = np.zeros(self.shape, np.float32)
        best = np.full(self.shape, np.float32(0.5))
        for value, share in zip(present, shares, strict=True):
            labels[share > best] = value
            best = np.maximum(best, share)
        return Volume(labels, self.affine)

    @property
    def _seen(self) -> Box:
        return tuple(
            slice(part.start - start, part.stop - start) for part, start in zip(self.box, self.start, strict=True)
        )


def fit_canvas(grid: Volume, content: Mask | None = None) -> Canvas:
    """The mapping of ``grid`` to the canvas; ``content`` is the mask to keep if an axis is longer than 224 mm.

    An axis of n <= 224 voxels begins at ``112 - n // 2``, as in the released program. A longer axis is cropped around
    ``content`` (the head, on the same grid); if that is longer than the canvas too, its lower end, the neck, is cut.
    """
    upright = reorient(grid.with_data(grid.data if content is None else content))
    zooms = tuple(float(size) for size in upright.zooms_mm)
    if all(abs(size - 1) < SIZE_TOLERANCE for size in zooms):
        zooms = (1.0, 1.0, 1.0)
    lengths = tuple(max(1, round(n * size)) for n, size in zip(upright.shape, zooms, strict=True))
    start = tuple(_start(axis, lengths, upright, content is not None) for axis in range(3))
    return Canvas(grid.affine, grid.shape, zooms, lengths, start)  # type: ignore[arg-type]


def needs_content(grid: Volume) -> bool:
    """Whether some axis of the grid is longer than the canvas."""
    return max(fit_canvas(grid).upright_shape) > CANVAS


def fit_authors(grid: Volume) -> Canvas:
    """The mapping of a 1 mm grid in MNI space to the authors' grid, by shifts of whole voxels without interpolation.

    Voxels beyond the authors' grid are cut; the rounding is at most half a millimetre.
    """
    upright = reorient(grid)
    middle = upright.affine[:3, :3] @ ((np.array(upright.shape) - 1) / 2) + upright.affine[:3, 3]
    index = (middle - AUTHORS_ORIGIN_MM) * LPS  # of the grid's middle on the authors' grid
    first = np.floor(index - (np.array(upright.shape) - 1) / 2 + 0.5)
    x, y, z = (part.start + int(shift) for part, shift in zip(authors_window(), first, strict=True))
    return Canvas(grid.affine, grid.shape, (1.0, 1.0, 1.0), upright.shape, (x, y, z), authors_window())


def authors_window() -> Box:
    """The part of the canvas that the authors' 192 x 224 x 192 grid occupies, where percentiles are computed."""
    return tuple(slice(CANVAS // 2 - n // 2, CANVAS // 2 - n // 2 + n) for n in AUTHORS_GRID)


def _start(axis: int, lengths: tuple[int, ...], upright: Volume, has_content: bool) -> int:
    n = lengths[axis]
    if n <= CANVAS:
        return CANVAS // 2 - n // 2
    kept = bounding_box(upright.data > 0.5)[axis] if has_content else slice(0, upright.shape[axis])
    scale = n / upright.shape[axis]  # millimetres a voxel
    low, high = round(kept.start * scale), round(kept.stop * scale)
    too_long_upwards = axis == SUPERIOR and has_content and high - low > CANVAS
    first = high - CANVAS if too_long_upwards else (low + high) // 2 - CANVAS // 2
    return -int(np.clip(first, 0, n - CANVAS))


def _interpolated(data: Array, zooms: NDArray[np.float64], shape: Triple) -> Array:
    """``data`` resampled to another voxel size with the same centre, and clipped to its range."""
    middle_in, middle_out = (np.array(data.shape) - 1) / 2, (np.array(shape) - 1) / 2
    offset = middle_in - middle_out / zooms
    result = affine_transform(data, np.diag(1 / zooms), offset, shape, np.float32, order=SPLINE, mode="nearest")
    return np.clip(result, data.min(), data.max(), out=result)  # type: ignore[no-any-return]
