"""The size of an image read from its header alone, without its voxels."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from haca3_bids.errors import BadInput


@dataclass(frozen=True)
class Geometry:
    """Voxels along each axis, and their size."""

    shape: tuple[int, ...]
    zooms_mm: tuple[float, ...]

    @property
    def extent_mm(self) -> tuple[float, ...]:
        """Length of the field of view along each of the three axes."""
        return tuple(count * zoom for count, zoom in zip(self.shape[:3], self.zooms_mm[:3], strict=False))


def read_geometry(path: str | os.PathLike[str]) -> Geometry:
    """Shape and voxel sizes of an image; raises BadInput when there is no file or its header is not an image's."""
    path = Path(path)
    if not path.exists():
        raise BadInput(
            f"{path.name} does not exist, or is a link that points nowhere.",
            "Get the file (datalad get, git annex get), or mount the folder the link points to.",
        )
    if path.stat().st_size == 0:
        raise BadInput(f"{path.name} is empty (0 bytes).", "Copy or get the file again.")
    try:
        image = nib.load(path)
        zooms = image.header.get_zooms()  # type: ignore[attr-defined]
    except Exception as error:  # nibabel, zlib and gzip each raise their own for a broken file
        raise BadInput(
            f"{path.name} cannot be read as an image ({type(error).__name__}).", "It may be truncated; copy it again."
        ) from error
    shape = tuple(int(count) for count in image.shape)  # type: ignore[attr-defined]
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    return Geometry(shape, tuple(float(np.abs(zoom)) for zoom in zooms[: len(shape)]))


def check_geometry(path: str | os.PathLike[str]) -> Geometry:
    """The geometry of a file that holds one 3D image; BadInput otherwise."""
    path = Path(path)
    geometry = read_geometry(path)
    if len(geometry.shape) > 3:
        raise BadInput(
            f"{path.name} is {len(geometry.shape)}D ({geometry.shape[3]} volumes); one 3D volume is needed.",
            "Leave it out or select another file with --bids-filter-file.",
        )
    if len(geometry.shape) < 3 or min(geometry.shape) < 2:
        raise BadInput(f"{path.name} has shape {geometry.shape}; a 3D volume with extent along every axis is needed.")
    return geometry
