"""Fields of view that end inside the head: the missing length at each end is drawn first, then cropped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from haca3_bids.volumes.box import Box
from haca3_bids.volumes.box import cropped as in_box
from haca3_bids.volumes.volume import Volume

Pair = tuple[float, float]

LARGEST_MM = {0: (18, 18), 1: (25, 25), 2: (70, 45)}  # at the low and the high end of each axis (L, P, S)
CHANCES = (0.1, 0.2, 0.7)  # of each axis to be cropped


@dataclass(frozen=True)
class FieldOfView:
    """Millimetres missing at the low and the high end of the axes L, P, S of the anatomy's grid."""

    missing_mm: tuple[Pair, Pair, Pair] = ((0, 0), (0, 0), (0, 0))

    def __post_init__(self) -> None:
        if min(min(pair) for pair in self.missing_mm) < 0:
            raise ValueError("missing lengths must not be negative")

    def in_voxels_of(self, volume: Volume) -> FieldOfView:
        """What ``cropped`` removes from a volume: whole voxels."""
        parts = zip(_box(volume, self), volume.shape, volume.zooms_mm, strict=True)
        pairs = [(part.start * zoom, (length - part.stop) * zoom) for part, length, zoom in parts]
        return FieldOfView(tuple(pairs))  # type: ignore[arg-type]


def draw_field_of_view(rng: np.random.Generator) -> FieldOfView:
    """One axis cropped at one end or both, as in slabs that were planned too small or misplaced."""
    axis = int(rng.choice(3, p=CHANCES))
    ends = [int(rng.integers(5, most + 1)) for most in LARGEST_MM[axis]]
    kept = rng.choice(3, p=(0.4, 0.4, 0.2))  # low end only, high end only, both
    pair = (0 if kept == 1 else ends[0], 0 if kept == 0 else ends[1])
    return FieldOfView(tuple(pair if a == axis else (0, 0) for a in range(3)))  # type: ignore[arg-type]


def cropped(volume: Volume, view: FieldOfView) -> Volume:
    """The image cropped to ``view``, at the same position in space. Axes point to L, P, S."""
    return in_box(volume, _box(volume, view))


def _box(volume: Volume, view: FieldOfView) -> Box:
    """The voxels inside the field of view, rounded to whole ones; at least two along each axis."""
    parts = []
    for length, zoom, (low, high) in zip(volume.shape, volume.zooms_mm, view.missing_mm, strict=True):
        first, last = round(low / zoom), length - round(high / zoom)
        parts.append(slice(first, max(last, first + 2)))
    return tuple(parts)
