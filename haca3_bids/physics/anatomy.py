"""Anatomies as tissue fractions per voxel, and the built-in head."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from haca3_bids.arrays import Array, Mask
from haca3_bids.physics.tissues import IN_BRAIN, TISSUES
from haca3_bids.volumes.canvas import AUTHORS_GRID, AUTHORS_ORIGIN_MM, LPS
from haca3_bids.volumes.volume import Volume, reorient

Shares = NDArray[np.uint8]
T = TypeVar("T", bound=np.generic)

SHAPE = AUTHORS_GRID  # voxels of 1 mm
AFFINE = np.diag([*LPS, 1.0])  # in MNI position
AFFINE[:3, 3] = AUTHORS_ORIGIN_MM
FULL = 255  # the whole voxel


@dataclass(frozen=True)
class Anatomy:
    """Tissue fractions ``shares`` (tissues, 192, 224, 192) in 1/255; the rest of each voxel is air."""

    shares: Shares
    name: str = ""

    @property
    def head(self) -> Mask:
        """Voxels that are not air."""
        out: Mask = self.shares.sum(axis=0, dtype=np.uint16) > FULL // 2
        return out

    @property
    def brain(self) -> Mask:
        """Voxels that are mostly brain or cerebrospinal fluid."""
        out: Mask = self.shares[IN_BRAIN].sum(axis=0, dtype=np.uint16) > FULL // 2
        return out

    def share_of(self, tissue: str) -> Array:
        """The fraction of one tissue, 0..1, (192, 224, 192)."""
        out: Array = self.shares[TISSUES.index(tissue)].astype(np.float32) / FULL
        return out


def builtin_head(icbm: Mapping[str, Volume]) -> Anatomy:
    """The ICBM 2009a brain (``volumes.builtin``) with fluid, skull, marrow and scalp added around it.

    Its tissue probabilities, an average of many people, are sharpened to those of one person.
    """
    grey, white, brain = (_on_grid(icbm[name]) for name in ("grey", "white", "brain"))
    inside = ndimage.binary_fill_holes(ndimage.binary_closing(brain > 0.05, iterations=3))
    intracranial = ndimage.gaussian_filter(ndimage.binary_dilation(inside, iterations=2).astype(np.float32), 2) > 0.5
    outside_mm = ndimage.distance_transform_edt(~intracranial) - ndimage.distance_transform_edt(intracranial)
    grey, white = (share * inside for share in _as_in_one_person(grey, white))
    shares = {"grey": grey, "white": white}
    shares["csf"] = np.clip(_between(outside_mm, -1e3, 0) - shares["grey"] - shares["white"], 0, 1)
    shares |= {name: _between(outside_mm, *ends) for name, ends in SHELLS_MM.items()}
    shares["marrow"] = MARROW_SHARE * _between(outside_mm, *MARROW_MM)
    shares["bone"] = np.clip(shares["bone"] - shares["marrow"], 0, 1)
    out = np.zeros((len(TISSUES), *SHAPE), np.uint8)
    for name, share in shares.items():
        out[TISSUES.index(name)] = np.rint(share * FULL)
    return Anatomy(out, "builtin")


def _as_in_one_person(grey: Array, white: Array) -> tuple[Array, Array]:
    """Tissue fractions of one person, from the probabilities of many people.

    Where nine in ten people have white matter, the voxel of a person is white matter, not nine tenths of it: the more
    probable of grey and white matter gets more of their sum. The fraction of fluid, which forms the sulci, is kept
    except where it is smallest.
    """
    both = np.minimum((grey + white) / NEARLY_ALL, 1.0)
    grey, white = grey**CRISPNESS, white**CRISPNESS
    likelier = np.maximum(grey + white, np.finfo(np.float32).tiny)
    return both * grey / likelier, both * white / likelier


NEARLY_ALL = 0.95  # of a voxel: no fluid beside it
CRISPNESS = 3.0  # power of the probabilities: borders of several voxels become about one wide
SHELLS_MM = {"dura": (0, 1), "bone": (1, 7.5), "fat": (7.5, 11), "skin": (11, 13.5)}  # outside the fluid
MARROW_MM, MARROW_SHARE = (2.8, 5.6), 0.8


def _between(distance: NDArray[np.floating], low: float, high: float) -> NDArray[np.floating]:
    """The fraction of a voxel between two distances, with a ramp of one voxel at each end."""
    return np.clip(distance - low + 0.5, 0, 1) * np.clip(high - distance + 0.5, 0, 1)


def _on_grid(volume: Volume) -> Array:
    volume = reorient(volume)
    origin = np.rint(np.linalg.inv(AFFINE) @ volume.affine[:, 3])[:3].astype(int).tolist()
    return placed(volume.data / volume.data.max(), origin)


def placed(block: NDArray[T], origin: Sequence[int], shape: tuple[int, ...] = SHAPE) -> NDArray[T]:
    """``block`` on an empty grid of ``shape`` with its first voxel at ``origin``, cropped to the grid."""
    out = np.zeros(shape, block.dtype)
    target = tuple(slice(max(0, o), min(n, o + size)) for o, n, size in zip(origin, shape, block.shape, strict=True))
    source = tuple(slice(t.start - o, t.stop - o) for t, o in zip(target, origin, strict=True))
    out[target] = block[source]
    return out
