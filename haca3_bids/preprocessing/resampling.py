"""One interpolation from an image's own grid to another, the field of view there, and coarse copies."""

from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from haca3_bids.arrays import Array, Mask
from haca3_bids.preprocessing.transforms import Matrix, apply, inverse, rigid_part
from haca3_bids.volumes.box import Box, bounding_box
from haca3_bids.volumes.volume import Volume

FWHM_TO_SIGMA = 1.0 / np.sqrt(8.0 * np.log(2.0))
SMALLEST_SIGMA = 0.1  # voxels: less is no smoothing
TRUNCATE = 3.0  # standard deviations at which a filter ends


def resample(moving: Volume, grid: Volume, pull: Matrix, *, order: int = 3) -> Volume:
    """``moving`` on the grid of ``grid`` by one B-spline interpolation; 0 outside the field of view.

    ``pull`` maps millimetres of ``grid`` to millimetres of ``moving``. Values are clipped to the range of the input. To
    avoid aliasing, the image is first smoothed in the directions in which the new grid is coarser.
    """
    to_voxels = inverse(moving.affine) @ pull @ grid.affine
    data = _without_finer_detail(moving, grid, pull)
    out = ndimage.affine_transform(
        data,
        to_voxels[:3, :3],
        to_voxels[:3, 3],
        output_shape=grid.shape,
        output=np.float32,
        order=order,
        mode="mirror",
    )
    np.clip(out, moving.data.min(), moving.data.max(), out=out)
    out[~field_of_view(moving, grid, pull)] = 0
    return grid.with_data(out)


def field_of_view(moving: Volume, grid: Volume, pull: Matrix) -> Mask:
    """The voxels of ``grid`` whose centres lie in a voxel of ``moving``: boolean, shape of ``grid``."""
    to_voxels = inverse(moving.affine) @ pull @ grid.affine
    inside = np.ones(grid.shape, np.bool_)
    x, y, z = np.ogrid[: grid.shape[0], : grid.shape[1], : grid.shape[2]]
    for row, size in zip(to_voxels[:3], moving.shape, strict=True):
        index = row[0] * x + row[1] * y + row[2] * z + row[3]
        inside &= (index >= -0.5) & (index <= size - 0.5)
    return inside


def resample_mask(mask: Volume, grid: Volume, pull: Matrix, *, threshold: float = 0.5) -> Mask:
    """A mask or probability map on another grid, linearly interpolated and cut at ``threshold`` (above 0).

    At the faces of its grid, it ends with the outermost voxels, not in their centres.
    """
    to_voxels = inverse(mask.affine) @ pull @ grid.affine
    out = np.zeros(grid.shape, np.bool_)
    box = _image_of(bounding_box(mask.data > 0, margin=1), inverse(to_voxels), grid.shape)  # zero elsewhere
    start = to_voxels[:3, :3] @ [part.start for part in box] + to_voxels[:3, 3]
    shape = tuple(part.stop - part.start for part in box)
    found = ndimage.affine_transform(
        mask.data, to_voxels[:3, :3], start, output_shape=shape, output=np.float32, order=1, mode="nearest"
    )
    out[box] = found >= threshold
    at_a_face = any((np.moveaxis(mask.data, axis, 0)[end] > 0).any() for axis in range(3) for end in (0, -1))
    return out & field_of_view(mask, grid, pull) if at_a_face else out


def shrink(volume: Volume, voxel_mm: float) -> Volume:
    """Means of whole blocks of voxels of about ``voxel_mm`` a side; a remainder at the far edges is padded."""
    factors = np.minimum(np.maximum(1, np.round(voxel_mm / volume.zooms_mm)).astype(int), volume.shape)
    if (factors == 1).all():
        return volume
    padding = [(0, -size % factor) for size, factor in zip(volume.shape, factors, strict=True)]
    data = np.pad(volume.data, padding, mode="edge")
    for axis, factor in enumerate(factors):
        shape = [*data.shape[:axis], data.shape[axis] // factor, factor, *data.shape[axis + 1 :]]
        data = data.reshape(shape).mean(axis=axis + 1, dtype=np.float32)
    to_fine = np.diag([*factors.astype(np.float64), 1.0])
    to_fine[:3, 3] = (factors - 1) / 2.0
    return Volume(data, volume.affine @ to_fine)


def isotropic_grid(volume: Volume, voxel_mm: float) -> Volume:
    """An empty grid with the axes and the field of view of ``volume`` and cubic voxels."""
    extent = volume.zooms_mm * volume.shape
    shape = np.maximum(2, np.ceil(extent / voxel_mm)).astype(int)
    to_voxels = np.diag([*(voxel_mm / volume.zooms_mm), 1.0])
    to_voxels[:3, 3] = (np.asarray(volume.shape) - 1) / 2.0 - to_voxels[:3, :3] @ ((shape - 1) / 2.0)
    return Volume(np.zeros(tuple(shape), np.float32), volume.affine @ to_voxels)


def _image_of(box: Box, matrix: Matrix, shape: tuple[int, ...]) -> Box:
    """The smallest box on a grid of ``shape`` that holds a box of another grid, mapped by ``matrix``."""
    corners = np.array(list(product(*((part.start - 1, part.stop) for part in box))))
    mapped = apply(matrix, corners)
    low = np.clip(np.floor(mapped.min(axis=0)).astype(int), 0, shape)
    high = np.clip(np.ceil(mapped.max(axis=0)).astype(int) + 1, low, shape)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def _without_finer_detail(moving: Volume, grid: Volume, pull: Matrix) -> Array:
    """The voxels of ``moving``, smoothed in each direction to the size that a voxel of ``grid`` has in it.

    Widths are matrices like covariances, in voxels of ``moving``: the identity for its own voxels, and E E' for voxels
    of ``grid``, whose edges are the columns of E. Averages over thick slices thus keep the detail in their plane.
    Scales of ``pull`` have no influence.
    """
    edges = (inverse(moving.affine) @ rigid_part(pull, np.zeros(3)) @ grid.affine)[:3, :3]
    size, axes = np.linalg.eigh(edges @ edges.T - np.eye(3))
    covariance = (axes * np.maximum(size, 0.0)) @ axes.T * FWHM_TO_SIGMA**2
    if (np.abs(covariance - np.diag(np.diag(covariance))) >= SMALLEST_SIGMA**2).any():
        return _smoothed(moving.data, covariance)
    sigma = np.sqrt(np.diag(covariance))
    if (sigma < SMALLEST_SIGMA).all():
        return moving.data
    smoothed: Array = ndimage.gaussian_filter(moving.data, sigma, mode="nearest", truncate=TRUNCATE)
    return smoothed


def _smoothed(data: Array, covariance: NDArray[np.float64]) -> Array:
    """Gaussian smoothing in directions between the axes, in Fourier space; ``covariance`` is in voxels."""
    rims = np.ceil(TRUNCATE * np.sqrt(np.diag(covariance))).astype(int)
    shape = [fft.next_fast_len(n + 2 * int(rim), real=True) for n, rim in zip(data.shape, rims, strict=True)]
    ends = [(rim, full - n - rim) for n, rim, full in zip(data.shape, rims, shape, strict=True)]
    spectrum = fft.rfftn(np.pad(np.asarray(data, np.float32), ends, mode="edge"))
    waves = np.meshgrid(*map(fft.fftfreq, shape[:2]), fft.rfftfreq(shape[2]), indexing="ij", sparse=True)
    exponent = sum(covariance[i, j] * waves[i] * waves[j] for i in range(3) for j in range(3))
    spectrum *= np.exp(-2.0 * np.pi**2 * exponent).astype(np.float32)
    inner = tuple(slice(rim, rim + n) for n, rim in zip(data.shape, rims, strict=True))
    reach = np.ceil(TRUNCATE * np.sqrt(np.linalg.eigvalsh(covariance).max()))
    reached = ndimage.distance_transform_edt(data == 0) <= reach
    return np.ascontiguousarray(fft.irfftn(spectrum, shape)[inner] * reached)  # no ringing far away in the air
