"""The voxels and slices of a canvas that the mixture model computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from haca3_bids.arrays import Mask
from haca3_bids.harmonization.prepare import nonempty
from haca3_bids.volumes.slices import cut

MEASURED = {"axial": 7, "coronal": 6}  # slices of each orientation from which theta is measured
MIDDLE = 0.7  # fraction of the slices with a head: the outer ones contain little brain
MULTIPLE = 16  # pixels: the encoder halves its input four times
Voxels = NDArray[np.intp]


def numbered(mask: Mask) -> NDArray[np.int32]:
    """The index of each voxel among those of the mask, in storage order; outside, the number of these voxels."""
    numbers = np.full(mask.shape, mask.sum(), np.int32)
    numbers[mask] = np.arange(mask.sum(), dtype=np.int32)
    return numbers


def placed(values: Tensor, mask: Mask) -> NDArray[Any]:
    """A canvas with the values in the voxels of the mask, zero elsewhere."""
    array = values.cpu().numpy()
    canvas: NDArray[Any] = np.zeros(mask.shape, array.dtype)
    canvas[mask] = array
    return canvas


def window(slices: Mask) -> tuple[slice, slice]:
    """Rows and columns of the smallest window around all mask pixels of the slices (slices, h, w)."""
    shown: Mask = np.logical_or.reduce(slices)
    return _run(np.logical_or.reduce(shown, axis=1)), _run(np.logical_or.reduce(shown))


def _run(occupied: Mask) -> slice:
    """The shortest range of indices with all occupied ones whose length is a multiple of MULTIPLE."""
    found = np.flatnonzero(occupied)
    length = -(-int(found[-1] - found[0] + 1) // MULTIPLE) * MULTIPLE
    start = max(0, min(int(found[0]), len(occupied) - length))
    return slice(start, start + length)


@dataclass(frozen=True)
class View:
    """Some slices through the middle of a head, cropped to one window."""

    slices: Mapping[str, Voxels]  # by orientation
    rows: slice
    columns: slice

    @classmethod
    def through(cls, head: Mask) -> View:
        """MEASURED slices of each orientation, evenly spaced in the MIDDLE of the head, in a window around it."""
        slices = {}
        for orientation, count in MEASURED.items():
            found = nonempty(cut(head, orientation))
            rim = int(len(found) * (1 - MIDDLE) / 2)
            slices[orientation] = found[np.unique(np.linspace(rim, len(found) - 1 - rim, count).round().astype(int))]
        shown = np.concatenate([cut(head, orientation)[chosen] for orientation, chosen in slices.items()])
        return cls(slices, *window(shown))

    def of(self, volume: NDArray[Any]) -> NDArray[Any]:
        """These slices of a volume on the same canvas, (slices, h, w)."""
        shown = np.concatenate([cut(volume, orientation)[chosen] for orientation, chosen in self.slices.items()])
        return np.ascontiguousarray(shown[:, self.rows, self.columns])
