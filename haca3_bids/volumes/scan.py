"""Reading a raw scan: its position, and intensities with a background of zero."""

import gzip
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

from haca3_bids.errors import BadInput
from haca3_bids.intensity.blank import constant_background, looks_labelled, looks_standardized, without_background
from haca3_bids.volumes.unreadable import unreadable
from haca3_bids.volumes.volume import Volume, load_placed

CHUNK = 2**20  # bytes read at a time
DAMAGED = (OSError, EOFError, zlib.error)


@dataclass(frozen=True)
class Scan:
    """A raw scan, and remarks on unusual properties."""

    image: Volume
    remarks: tuple[str, ...] = ()
    orientation_assumed: bool = False  # the header does not define left and right, and the user insisted


def load_scan(path: str | os.PathLike[str], *, forced: bool = True) -> Scan:
    """A raw scan without a constant background; raises BadInput as ``load_volume`` does.

    Unless ``forced``, the header must define the position of the voxels, which the first step of a session checks.
    """
    volume, placed = load_placed(path, forced=forced)
    _check_whole(Path(path))
    background = constant_background(volume.data)
    remarks = [placed.doubt.sentence] if placed.doubt else []
    remarks += [f"{Path(path).name} has a contradictory header: {placed.note}."] if placed.note else []
    if background:
        volume = volume.with_data(without_background(volume.data, background))
        remarks.append(f"{Path(path).name} has a constant background of {background:.6g}, which was set to zero.")
    return Scan(volume, tuple(remarks), placed.doubt is not None)


def _check_whole(path: Path) -> None:
    """Raise BadInput for a damaged gzip file: nibabel does not read up to the checksum at its end."""
    if path.suffix != ".gz":
        return
    try:
        read_to_end(path)
    except DAMAGED as error:
        raise unreadable(path, error) from error


def read_to_end(path: Path) -> None:
    """Read a gzip file to its end, where its checksum is; raises one of DAMAGED if it is not complete."""
    with gzip.open(path) as file:
        while file.read(CHUNK):
            pass


def check_intensities(scan: Scan, name: str) -> None:
    """Raise BadInput for an image that is constant, a mask or segmentation, or standardized."""
    if scan.image.data.min() == scan.image.data.max():
        raise BadInput(f"{name} is constant: it contains no image.", "Leave it out, or copy the original again.")
    if looks_labelled(scan.image.data):
        raise BadInput(
            f"{name} has hardly any different values: it appears to be a mask or a segmentation.",
            "Leave it out, or correct its name: only scans end in a contrast such as T1w.",
        )
    if looks_standardized(scan.image.data):
        raise BadInput(
            f"{name} appears to be standardized: many of its voxels are negative.",
            "Use the original image of the scanner, with magnitudes from zero upwards.",
        )
