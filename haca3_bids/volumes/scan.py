"""A raw scan as the App takes it: where its header places it, and intensities whose zero means no signal."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from haca3_bids.errors import BadInput
from haca3_bids.intensity.blank import constant_background, looks_standardized, without_background
from haca3_bids.volumes.volume import Volume, load_placed


@dataclass(frozen=True)
class Scan:
    """A raw scan, and what was odd about it."""

    image: Volume
    remarks: tuple[str, ...] = ()
    orientation_assumed: bool = False  # the header does not say where left and right are, and the user insisted


def load_scan(path: str | os.PathLike[str], *, forced: bool = True) -> Scan:
    """A raw scan without a constant background; BadInput as ``load_volume``.

    Not ``forced``, its header must say how the voxels lie: the first step of a session looks at that, for all others.
    """
    volume, placed = load_placed(path, forced=forced)
    background = constant_background(volume.data)
    remarks = [placed.doubt.sentence] if placed.doubt else []
    remarks += [f"{Path(path).name} contradicts itself: {placed.note}."] if placed.note else []
    if background:
        volume = volume.with_data(without_background(volume.data, background))
        remarks.append(f"{Path(path).name} had a constant background of {background:.6g}; it was set to zero.")
    return Scan(volume, tuple(remarks), placed.doubt is not None)


def check_intensities(scan: Scan, name: str) -> None:
    """BadInput for a scan whose intensities are no scanner's."""
    if scan.image.data.min() == scan.image.data.max():
        raise BadInput(f"{name} is constant; there is no image in it.")
    if looks_standardized(scan.image.data):
        raise BadInput(
            f"{name} looks standardized: many of its voxels are below zero.",
            "Give the image as the scanner made it, with magnitudes from zero upwards.",
        )
