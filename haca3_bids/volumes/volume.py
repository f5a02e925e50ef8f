"""Volume: an image with its geometry."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from numpy.typing import NDArray

from haca3_bids.arrays import Array, Mask
from haca3_bids.errors import BadInput
from haca3_bids.partial import partial_file
from haca3_bids.volumes.header import check_numbers, open_image, shape_of
from haca3_bids.volumes.placement import Affine, Placement, placement
from haca3_bids.volumes.unreadable import unreadable

FINITE_SHARE = 0.01  # smallest fraction of finite voxels; a brain in a background of NaN fills more


@dataclass(frozen=True)
class Volume:
    """Voxels ``data`` of shape (nx, ny, nz), and ``affine`` (4, 4) from voxel indices to RAS+ millimetres."""

    data: Array
    affine: Affine

    @property
    def shape(self) -> tuple[int, int, int]:
        """The number of voxels along each axis."""
        nx, ny, nz = self.data.shape
        return nx, ny, nz

    @property
    def zooms_mm(self) -> NDArray[np.float64]:
        """The voxel size along each array axis (3,), in mm."""
        zooms: Affine = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))
        return zooms

    def with_data(self, data: NDArray[np.generic]) -> Volume:
        """A volume of other voxels on the same grid."""
        return Volume(np.asarray(data, np.float32), self.affine)

    def has_grid_of(self, other: Volume) -> bool:
        """Whether both images have the same shape and affine (to a micrometre)."""
        return self.shape == other.shape and bool(np.allclose(self.affine, other.affine, atol=1e-3))


def load_volume(path: str | os.PathLike[str], *, may_be_constant: bool = False, forced: bool = False) -> Volume:
    """The one 3D image in a NIfTI file, as float32; trailing axes of length one are dropped.

    Raises BadInput if the file is not an image, truncated, not 3D, or has only one voxel along an axis; if its header
    does not define the position of the voxels (unless ``forced``); or if voxels are not single numbers, all equal
    (unless ``may_be_constant``), nearly all not finite, or too large for float32.
    """
    return load_placed(path, may_be_constant=may_be_constant, forced=forced)[0]


def load_mask(path: str | os.PathLike[str]) -> Mask:
    """The mask in a file, thresholded at one half; raises BadInput as ``load_volume`` does."""
    return load_volume(path, may_be_constant=True).data > 0.5


def load_placed(
    path: str | os.PathLike[str], *, may_be_constant: bool = False, forced: bool = False
) -> tuple[Volume, Placement]:
    """The volume as from ``load_volume``, and its placement according to the header."""
    path = Path(path)
    image = open_image(path)
    check_numbers(image, path.name)
    shape = shape_of(image, path)
    data = _voxels(image, path).reshape(shape)
    placed = placement(image, path)
    if placed.doubt is not None and not forced:
        raise placed.doubt
    return _checked(data, placed.affine, path.name, may_be_constant), placed


def _voxels(image: Any, path: Path) -> Array:
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            data = np.asarray(image.dataobj, dtype=np.float32)
            if np.isinf(data).any():
                exact = np.asarray(image.dataobj, dtype=np.float64)
                largest = np.abs(exact, where=np.isfinite(exact), out=np.zeros_like(exact)).max()
                if largest > np.finfo(np.float32).max:
                    raise BadInput(
                        f"{path.name} has intensities up to {largest:.1e}, too large for 32-bit floats (3.4e+38).",
                        "Divide the image by a constant: MR intensities have no unit.",
                    )
    except BadInput:
        raise
    except Exception as error:
        raise unreadable(path, error) from error
    return data


def _checked(data: Array, affine: Affine, name: str, may_be_constant: bool) -> Volume:
    finite = np.isfinite(data)
    if finite.mean() < FINITE_SHARE:
        sentence = f"{name} has {100 * (1 - finite.mean()):.0f} % voxels that are not finite."
        raise BadInput(sentence, "Use the original image of the scanner.")
    if not finite.all():
        data = np.where(finite, data, np.float32(0))
    if not may_be_constant and data.min() == data.max():
        sentence = f"{name} is constant (every voxel is {data.flat[0]:g}): it contains no image."
        raise BadInput(sentence, "Leave it out, or copy the original again.")
    return Volume(data, affine)


def save_volume(
    volume: Volume, path: str | os.PathLike[str], *, in_template: bool = False, dtype: type[np.generic] = np.float32
) -> None:
    """Write a NIfTI file atomically; its header contains only the geometry.

    ``in_template`` sets the sform code to 4 (MNI) instead of 1 (scanner). For an integer ``dtype``, voxels are rounded
    and clipped to its range.
    """
    path, data = Path(path), volume.data
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(np.dtype(dtype))
        data = np.rint(data).clip(limits.min, limits.max)
    image = nib.Nifti1Image(data.astype(dtype), volume.affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(volume.affine, code=4 if in_template else 1)
    image.set_qform(volume.affine, code=4 if in_template else 1)
    with partial_file(path) as partial:
        nib.save(image, partial)


def reorient(volume: Volume, axes: Sequence[str] = ("L", "P", "S")) -> Volume:
    """The image with array axes reordered and flipped to point to ``axes``: a view of the voxels."""
    return _reordered(volume, axcodes2ornt(tuple(axes)))


def reorient_like(volume: Volume, other: Volume) -> Volume:
    """The image with the axis order and directions of ``other``: the inverse of ``reorient``."""
    return _reordered(volume, io_orientation(other.affine))


def _reordered(volume: Volume, wanted: NDArray[np.float64]) -> Volume:
    change = ornt_transform(io_orientation(volume.affine), wanted)
    data = nib.orientations.apply_orientation(volume.data, change)
    return Volume(data, volume.affine @ inv_ornt_aff(change, volume.shape))
