"""Checks of an image header: shape, voxel sizes and field of view."""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from haca3_bids.errors import BadInput
from haca3_bids.volumes.placement import Placement, placement
from haca3_bids.volumes.unreadable import unreadable

SMALLEST_MM, LARGEST_MM = 50.0, 500.0  # limits of the longest and the shortest side of a field of view
BORE_MM = 1000.0  # largest side of a field of view
MOST_VOXELS = 1e9  # 0.4 mm voxels in a bore of 0.4 m; more would not fit into memory
POINTERS = (  # beginnings of pointer files, whose content is elsewhere
    (b"/annex/objects/", "git-annex", "datalad get, or git annex get"),
    (b"version https://git-lfs", "git LFS", "git lfs pull"),
)
PACKED = 1100  # largest compression factor of gzip (deflate: 1032)


@dataclass(frozen=True)
class Geometry:
    """The number of voxels along each axis, and their size."""

    shape: tuple[int, ...]
    zooms_mm: tuple[float, ...]

    @property
    def extent_mm(self) -> tuple[float, ...]:
        """Length of the field of view along each of the three axes."""
        return tuple(count * zoom for count, zoom in zip(self.shape[:3], self.zooms_mm[:3], strict=False))


def open_image(path: Path) -> Any:
    """The NIfTI image in a file, without reading its voxels; BadInput if there is none."""
    try:
        _check_file(path)
        image = nib.load(path)
    except BadInput:
        raise
    except Exception as error:
        raise unreadable(path, error) from error
    if not isinstance(image, nib.Nifti1Image):  # of which NIfTI-2 is a subclass
        raise BadInput(
            f"{path.name} is not a NIfTI file (.nii or .nii.gz).",
            "Convert it, for example with mri_convert. Analyze files (.hdr and .img) do not define left and right.",
        )
    return image


def _check_file(path: Path) -> None:
    """Raise BadInput for a file without content, OSError for one that cannot be opened."""
    if not path.exists():
        if "annex/objects/" in str(path.readlink() if path.is_symlink() else ""):
            raise _content_is_elsewhere(path, "git-annex", "datalad get, or git annex get")
        raise BadInput(f"{path.name} does not exist, or is a broken link.", "Mount the folder that the link points to.")
    if not path.is_file():
        raise BadInput(f"{path.name} is a folder, a pipe or a device, not a file.", "Remove or replace it.")
    if path.stat().st_size == 0:
        raise BadInput(f"{path.name} is empty (0 bytes).", "Copy or get the file again.")
    with path.open("rb") as file:
        beginning = file.read(100)
    for mark, keeper, command in POINTERS:
        if beginning.startswith(mark):
            raise _content_is_elsewhere(path, keeper, command)


def _content_is_elsewhere(path: Path, keeper: str, command: str) -> BadInput:
    return BadInput(f"{path.name} is managed by {keeper}, and its content is not on this machine.", f"Run {command}.")


def check_numbers(image: Any, name: str) -> None:
    """Raise BadInput for an image whose voxels are not single real numbers."""
    kind = image.get_data_dtype()
    if kind.names:
        raise BadInput(
            f"{name} is a colour image (RGB); one intensity per voxel is required.",
            "It was made for viewing. Exclude it, or use the original scan.",
        )
    if kind.kind == "c":
        raise BadInput(
            f"{name} contains complex numbers; magnitudes are required.", "Use the magnitude image (part-mag) instead."
        )


def check_geometry(path: str | os.PathLike[str], *, forced: bool = False) -> Geometry:
    """The geometry of a file with one 3D image of the size of a head; BadInput otherwise.

    ``forced`` accepts a header that does not define the position of its voxels.
    """
    path = Path(path)
    image = open_image(path)
    check_numbers(image, path.name)
    shape = shape_of(image, path)
    placed = placement(image, path)
    if placed.doubt is not None and not forced:
        raise placed.doubt
    geometry = Geometry(shape, tuple(float(edge) for edge in np.linalg.norm(placed.affine[:3, :3], axis=0)))
    _check_size(geometry, placed, path.name)
    return geometry


def shape_of(image: Any, path: Path) -> tuple[int, int, int]:
    """The shape of an image; BadInput if it is not one 3D volume, or its file is too small for it."""
    shape = tuple(int(count) for count in image.shape)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) > 3:
        raise BadInput(
            f"{path.name} is {len(shape)}D ({math.prod(shape[3:])} volumes); one 3D volume is required.",
            "Give one of its volumes, or exclude it (haca3-bids: --bids-filter-file).",
        )
    if len(shape) < 3 or min(shape) < 2:
        sentence = f"{path.name} has shape {shape}; a 3D volume with several voxels along every axis is required."
        raise BadInput(sentence, "Leave it out, or use the whole scan.")
    if math.prod(shape) > MOST_VOXELS:
        sentence = f"{path.name} has shape {shape}; at most {MOST_VOXELS:.0e} voxels are possible."
        raise BadInput(sentence, "Resample it to larger voxels, or correct its header.")
    needed, held = math.prod(shape) * image.get_data_dtype().itemsize, path.stat().st_size
    if needed > held * (PACKED if path.suffix == ".gz" else 1):
        raise BadInput(
            f"{path.name} has {held} bytes, too few for its shape {shape}: it is truncated, or its header is damaged.",
            "Copy or get the file again.",
        )
    return shape[0], shape[1], shape[2]


def _check_size(geometry: Geometry, placed: Placement, name: str) -> None:
    longest, shortest = max(geometry.extent_mm), min(geometry.extent_mm)
    if SMALLEST_MM <= longest <= BORE_MM and shortest <= LARGEST_MM:
        return
    sides = " x ".join(f"{side:.3g}" for side in geometry.extent_mm)
    raise BadInput(
        f"{name} has a field of view of {sides} mm; a head requires {SMALLEST_MM:.0f} to {LARGEST_MM:.0f} mm.",
        f"The unit of its header is {placed.unit} (xyzt_units). Are the voxel sizes in another unit, such as cm?",
    )
