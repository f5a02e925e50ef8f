"""What the header of an image says, without its voxels: shape, voxel sizes, and whether this can be a head."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from haca3_bids.errors import BadInput
from haca3_bids.volumes.placement import Placement, placement

SMALLEST_MM, LARGEST_MM = 50.0, 500.0  # of a head; the longest side of a smaller image, the shortest of a larger one
BORE_MM = 1000.0  # no image of a head is longer than this, however much air it has


@dataclass(frozen=True)
class Geometry:
    """Voxels along each axis, and their size."""

    shape: tuple[int, ...]
    zooms_mm: tuple[float, ...]

    @property
    def extent_mm(self) -> tuple[float, ...]:
        """Length of the field of view along each of the three axes."""
        return tuple(count * zoom for count, zoom in zip(self.shape[:3], self.zooms_mm[:3], strict=False))


def open_image(path: Path) -> Any:
    """The image in a file, its voxels not yet read; BadInput says why there is none."""
    try:
        if not path.exists():
            raise BadInput(
                f"{path.name} does not exist, or is a link that points nowhere.",
                "Get the file (datalad get, git annex get), or mount the folder the link points to.",
            )
        if path.stat().st_size == 0:
            raise BadInput(f"{path.name} is empty (0 bytes).", "Copy or get the file again.")
        path.open("rb").close()  # nibabel takes a file that it may not open for one that is no image
        return nib.load(path)
    except BadInput:
        raise
    except Exception as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> BadInput:
    """Why a file could not be read: nibabel, zlib, gzip and numpy each raise their own for a broken one."""
    if isinstance(error, PermissionError):
        return BadInput(
            f"There is no permission to read {path.name}.", "Change its rights (chmod), or ask the one who owns it."
        )
    return BadInput(
        f"{path.name} cannot be read as an image ({type(error).__name__}).", "It may be truncated; copy it again."
    )


def check_numbers(image: Any, name: str) -> None:
    """BadInput for an image whose voxels are not one number each."""
    kind = image.get_data_dtype()
    if kind.names:
        raise BadInput(
            f"{name} is a colour image (RGB); one intensity a voxel is needed.",
            "It is a picture made for viewing, not a scan: leave it out, or give the scan itself.",
        )
    if kind.kind == "c":
        raise BadInput(
            f"{name} holds complex numbers; magnitudes are needed.",
            "Give the magnitude image (part-mag) in its place.",
        )


def check_geometry(path: str | os.PathLike[str], *, forced: bool = False) -> Geometry:
    """The geometry of a file that holds one 3D image of the size of a head; BadInput otherwise.

    A header that does not say where its voxels lie is ``forced`` to.
    """
    path = Path(path)
    image = open_image(path)
    check_numbers(image, path.name)
    shape = tuple(int(count) for count in image.shape)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    check_shape(shape, path.name)
    placed = placement(image, path)
    if placed.doubt is not None and not forced:
        raise placed.doubt
    geometry = Geometry(shape, tuple(float(edge) for edge in np.linalg.norm(placed.affine[:3, :3], axis=0)))
    _check_size(geometry, placed, path.name)
    return geometry


def check_shape(shape: tuple[int, ...], name: str) -> None:
    """BadInput for a shape that is not one 3D volume's."""
    if len(shape) > 3:
        raise BadInput(
            f"{name} is {len(shape)}D ({shape[3]} volumes); one 3D volume is needed.",
            "Leave it out or select another file with --bids-filter-file.",
        )
    if len(shape) < 3 or min(shape) < 2:
        raise BadInput(f"{name} has shape {shape}; a 3D volume with extent along every axis is needed.")


def _check_size(geometry: Geometry, placed: Placement, name: str) -> None:
    longest, shortest = max(geometry.extent_mm), min(geometry.extent_mm)
    if SMALLEST_MM <= longest <= BORE_MM and shortest <= LARGEST_MM:
        return
    sides = " x ".join(f"{side:.3g}" for side in geometry.extent_mm)
    raise BadInput(
        f"{name} spans {sides} mm, which no head does ({SMALLEST_MM:.0f} to {LARGEST_MM:.0f} mm).",
        f"Its header gives lengths in {placed.unit} (xyzt_units): are its voxel sizes in another unit, such as cm?",
    )
