"""Volume: an image and its geometry as one value."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from numpy.typing import NDArray

from haca3_bids.errors import BadInput
from haca3_bids.partial import partial_file

Array = NDArray[np.float32]
Affine = NDArray[np.float64]


@dataclass(frozen=True)
class Volume:
    """Voxels ``data`` of shape (nx, ny, nz), and ``affine`` (4, 4) from voxel indices to RAS+ millimetres."""

    data: Array
    affine: Affine

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along each axis."""
        nx, ny, nz = self.data.shape
        return nx, ny, nz

    @property
    def zooms_mm(self) -> NDArray[np.float64]:
        """Voxel size along each array axis, shape (3,)."""
        zooms: Affine = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))
        return zooms

    def with_data(self, data: NDArray[np.generic]) -> Volume:
        """Other voxels on the same grid."""
        return Volume(np.asarray(data, np.float32), self.affine)

    def has_grid_of(self, other: Volume, tolerance: float = 1e-3) -> bool:
        """Whether both images share shape and affine (millimetres within ``tolerance``)."""
        return self.shape == other.shape and bool(np.allclose(self.affine, other.affine, atol=tolerance))


def load_volume(path: str | os.PathLike[str], *, may_be_constant: bool = False) -> Volume:
    """The one 3D image in a NIfTI file, as float32; trailing axes of length one are dropped.

    Raises BadInput when the file is no image, is truncated, is not 3D, has an axis without extent, a singular
    affine, or voxels that are all equal (``may_be_constant``: a mask can be) or mostly not finite.
    """
    path = Path(path)
    try:
        image = nib.load(path)
        data = np.asarray(image.dataobj, dtype=np.float32)  # type: ignore[attr-defined]
        affine = np.asarray(image.affine, dtype=np.float64)  # type: ignore[attr-defined]
    except FileNotFoundError:
        raise BadInput(f"{path.name} does not exist.", "A symbolic link may point nowhere.") from None
    except Exception as error:  # nibabel, zlib and numpy each raise their own for a broken file
        raise BadInput(
            f"{path.name} cannot be read as an image ({type(error).__name__}).", "It may be truncated; copy it again."
        ) from error
    return _checked(data, affine, path.name, may_be_constant)


def _checked(data: Array, affine: Affine, name: str, may_be_constant: bool) -> Volume:
    while data.ndim > 3 and data.shape[-1] == 1:
        data = data[..., 0]
    if data.ndim == 4:
        raise BadInput(
            f"{name} is 4D ({data.shape[-1]} volumes); one 3D volume is needed.",
            "Leave it out or select another file with --bids-filter-file.",
        )
    if data.ndim != 3 or min(data.shape) < 2:
        raise BadInput(f"{name} has shape {data.shape}; a 3D volume with extent along every axis is needed.")
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise BadInput(f"{name} has an affine with zero determinant; its voxels have no place in space.")
    finite = np.isfinite(data)
    if finite.mean() < 0.5:
        raise BadInput(f"{name} has {100 * (1 - finite.mean()):.0f} % of voxels that are not finite numbers.")
    if not finite.all():
        data = np.where(finite, data, np.float32(0))
    if not may_be_constant and data.min() == data.max():
        raise BadInput(f"{name} is constant (every voxel is {data.flat[0]:g}); there is no image in it.")
    return Volume(data, affine)


def save_volume(
    volume: Volume, path: str | os.PathLike[str], *, in_template: bool = False, dtype: type[np.generic] = np.float32
) -> None:
    """Write a NIfTI file whose header carries geometry and nothing else; it appears whole or not at all.

    ``in_template`` marks the coordinates as MNI (sform code 4) rather than the scanner's (1).
    """
    path = Path(path)
    image = nib.Nifti1Image(volume.data.astype(dtype), volume.affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(volume.affine, code=4 if in_template else 1)
    image.set_qform(volume.affine, code=4 if in_template else 1)
    with partial_file(path) as partial:
        nib.save(image, partial)


def reorient(volume: Volume, axes: Sequence[str] = ("L", "P", "S")) -> Volume:
    """The same image with its array axes pointing to ``axes`` (no interpolation)."""
    return _reordered(volume, axcodes2ornt(tuple(axes)))


def reorient_like(volume: Volume, other: Volume) -> Volume:
    """The same image with the axis order and directions of ``other``: the inverse of ``reorient``."""
    return _reordered(volume, io_orientation(other.affine))


def _reordered(volume: Volume, wanted: NDArray[np.float64]) -> Volume:
    change = ornt_transform(io_orientation(volume.affine), wanted)
    data = nib.orientations.apply_orientation(volume.data, change)
    return Volume(np.ascontiguousarray(data), volume.affine @ inv_ornt_aff(change, volume.shape))
