"""Planes of a volume for display: upright, with the patient's left on the left."""

from dataclasses import dataclass

import numpy as np

from haca3_bids.arrays import Array
from haca3_bids.settings import WHITE_MATTER_PEAK
from haca3_bids.volumes.volume import Volume, reorient

UPRIGHT = ("R", "A", "S")  # the directions of the axes of a volume that is shown
PLANES = ("sagittal", "coronal", "axial")  # across x, y and z; the order in which figures show them
WINDOW_PERCENTILE = 99.5  # of the positive voxels: the white end of the grey scale
SHOWN_AS_WHITE = {"T1w": 1.25, "T2w": 3.5, "PDw": 1.4, "FLAIR": 2.0}  # as multiples of the white-matter intensity


@dataclass(frozen=True)
class Picture:
    """One plane of a volume: ``pixels`` (up, right) with the first row at the bottom, and its size."""

    pixels: Array
    width_mm: float
    height_mm: float
    plane: str


def cut(volume: Volume, plane: str, position_mm: float) -> Picture:
    """The plane of ``volume`` nearest to ``position_mm`` along its axis."""
    upright = reorient(volume, UPRIGHT)
    axis = PLANES.index(plane)
    zooms = upright.zooms_mm
    middle = (np.asarray(upright.shape) - 1) / 2
    centre_mm = upright.affine[:3, :3] @ middle + upright.affine[:3, 3]
    nearest = round((position_mm - centre_mm[axis]) / zooms[axis] + middle[axis])
    index = int(np.clip(nearest, 0, upright.shape[axis] - 1))
    pixels = np.moveaxis(upright.data, axis, 0)[index].T  # np.take would copy the whole volume first
    across, up = (n for n in range(3) if n != axis)
    width, height = upright.shape[across] * zooms[across], upright.shape[up] * zooms[up]
    return Picture(np.ascontiguousarray(pixels), float(width), float(height), plane)


def white_end(volume: Volume) -> float:
    """The intensity shown as white; 1 for an image without positive voxels."""
    positive = volume.data[volume.data > 0]
    return float(np.percentile(positive, WINDOW_PERCENTILE)) if positive.size else 1.0


def white_of_contrast(contrast: str) -> float:
    """The intensity shown as white in preprocessed and harmonized images: the same for all images of a contrast.

    With one grey scale, a source, its target and the harmonized image can be compared by eye.
    """
    return SHOWN_AS_WHITE[contrast] * WHITE_MATTER_PEAK


def white_of_brain(volume: Volume, brain: Volume | None) -> float:
    """The intensity shown as white, from the brain only: fat is often brighter and would darken the rest."""
    if brain is None or not volume.has_grid_of(brain) or not (brain.data > 0.5).any():
        return white_end(volume)
    top = float(np.percentile(np.nan_to_num(volume.data[brain.data > 0.5]), WINDOW_PERCENTILE))
    return top if top > 0 else 1.0
