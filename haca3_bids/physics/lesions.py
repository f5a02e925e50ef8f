"""Lesions as in multiple sclerosis, drawn at random at typical locations, then rendered.

Kinds and shapes: Filippi et al., Brain 142:1858 (2019): ovoid and upright on the ventricles' wall (periventricular),
touching the cortex (juxtacortical), and anywhere in deep white matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from haca3_bids.arrays import Array, Mask
from haca3_bids.physics.anatomy import AFFINE, FULL, Anatomy
from haca3_bids.physics.tissues import GREY, LESION, WHITE
from haca3_bids.physics.ventricles import brain_box, ventricles

Triple = tuple[float, float, float]

COUNTS = {"periventricular": (6, 20), "juxtacortical": (2, 9), "deep": (3, 12)}  # range per person, inclusive
RADII_MM = {"periventricular": (1.8, 5.5), "juxtacortical": (1.5, 3.5), "deep": (1.5, 5.0)}  # across; log-uniform
LENGTHENING = (1.0, 2.2)  # along over across
DENSITY = (0.6, 1.0)  # fraction of lesion in its core; the rest is the original tissue
GROWTH_A_YEAR = (0.0, 0.06)  # of the radius
NEW_SHARE, NEW_YEARS = 0.25, (0.2, 6.0)  # fraction that appears after the first visit, and when
NEAR_MM = {"periventricular": 3.5, "juxtacortical": 2.0}  # distance to the ventricles, to the cortex
LOWEST_MM = -25.0  # z in MNI space: no lesions below the tentorium
WOBBLE = 0.25  # of the radius: irregularity of the rim


@dataclass(frozen=True)
class Lesion:
    """One lesion, in voxels of the anatomy's grid (1 mm)."""

    kind: str
    centre: Triple
    axis: Triple  # unit vector along which it is longest
    radius_mm: float  # across, at onset or at the first visit
    lengthening: float
    density: float
    growth_a_year: float
    onset_years: float  # after the first visit; 0: present at the first visit
    waves: tuple[Triple, Triple, Triple]  # of the rim, radians per voxel

    def radius_at(self, years: float) -> float:
        """Millimetres across, ``years`` after the first visit; 0 before the onset."""
        since = years - self.onset_years
        return float(self.radius_mm * (1 + self.growth_a_year) ** since) if since >= 0 else 0.0


def draw_lesions(anatomy: Anatomy, rng: np.random.Generator) -> tuple[Lesion, ...]:
    """Ten to forty lesions of one person in the white matter of the anatomy."""
    places = lesion_places(anatomy)
    found: list[Lesion] = []
    for kind, (low, high) in COUNTS.items():
        voxels, outward = places[kind]
        if len(voxels):
            chosen = rng.integers(len(voxels), size=int(rng.integers(low, high + 1)))
            found += [_draw_one(kind, voxels[index], outward[index], rng) for index in chosen]
    return tuple(found)


def _draw_one(kind: str, voxel: NDArray[np.int_], outward: Array, rng: np.random.Generator) -> Lesion:
    new = rng.uniform() < NEW_SHARE
    waves = rng.normal(0, 1, (3, 3))
    return Lesion(
        kind=kind,
        centre=_triple(voxel + rng.uniform(-0.5, 0.5, 3)),
        axis=_triple(outward),
        radius_mm=float(np.exp(rng.uniform(*np.log(RADII_MM[kind])))),
        lengthening=float(rng.uniform(*LENGTHENING)),
        density=float(rng.uniform(*DENSITY)),
        growth_a_year=float(rng.uniform(*GROWTH_A_YEAR)),
        onset_years=float(rng.uniform(*NEW_YEARS)) if new else 0.0,
        waves=(_triple(waves[0]), _triple(waves[1]), _triple(waves[2])),
    )


def lesion_places(anatomy: Anatomy) -> dict[str, tuple[NDArray[np.int_], Array]]:
    """For each kind, the possible centres (n, 3) of lesions in voxels, and the unit vectors (n, 3) of their axes."""
    box = brain_box(anatomy)
    corner = np.array([part.start for part in box])
    white = anatomy.shares[WHITE][box] > 0.8 * FULL
    height_mm = AFFINE[2, 2] * (np.arange(white.shape[2]) + corner[2]) + AFFINE[2, 3]
    white &= height_mm > LOWEST_MM
    to_wall, along_wall = _distance(ventricles(anatomy)[box])
    to_cortex, along_cortex = _distance(anatomy.shares[GREY][box] > FULL // 2)
    near_wall, near_cortex = to_wall < NEAR_MM["periventricular"], to_cortex < NEAR_MM["juxtacortical"]
    far = (to_wall > 3 * NEAR_MM["periventricular"]) & (to_cortex > 2 * NEAR_MM["juxtacortical"])
    chosen = {
        "periventricular": (white & near_wall, along_wall),
        "juxtacortical": (white & near_cortex & (to_wall > 15), along_cortex),
        "deep": (white & far, along_wall),
    }
    return {kind: (np.argwhere(mask) + corner, along[:, mask].T) for kind, (mask, along) in chosen.items()}


def _distance(mask: Mask) -> tuple[Array, Array]:
    """Distance (mm) to the mask, and the unit vectors (3, ...) away from it; 1000 mm if it is empty."""
    if not mask.any():
        return np.full(mask.shape, 1e3, np.float32), np.zeros((3, *mask.shape), np.float32)
    distance = ndimage.distance_transform_edt(~mask).astype(np.float32)
    slope = np.stack(np.gradient(ndimage.gaussian_filter(distance, 1.0)))
    return distance, (slope / np.maximum(np.sqrt((slope**2).sum(axis=0)), 1e-3)).astype(np.float32)


def with_lesions(anatomy: Anatomy, lesions: Sequence[Lesion], years: float = 0.0) -> Anatomy:
    """The anatomy with its lesions ``years`` after the first visit.

    They replace white matter, and cortex if they touch it.
    """
    shares = np.array(anatomy.shares)
    for lesion in lesions:
        radius = lesion.radius_at(years)
        if radius > 0:
            _paint(shares, lesion, radius)
    return Anatomy(shares, anatomy.name)


def _paint(shares: NDArray[np.uint8], lesion: Lesion, radius: float) -> None:
    reach = radius * max(1.0, lesion.lengthening) * (1 + WOBBLE) + 2
    first = [max(0, int(c - reach)) for c in lesion.centre]
    last = [min(n, int(c + reach) + 2) for c, n in zip(lesion.centre, shares.shape[1:], strict=True)]
    if any(low >= high for low, high in zip(first, last, strict=True)):
        return
    box = tuple(slice(low, high) for low, high in zip(first, last, strict=True))
    offsets = [np.arange(low, high) - c for low, high, c in zip(first, last, lesion.centre, strict=True)]
    taken = lesion.density * _ellipsoid(np.stack(np.meshgrid(*offsets, indexing="ij")), lesion, radius)
    for row in (WHITE, GREY) if lesion.kind == "juxtacortical" else (WHITE,):
        part, lesioned = shares[row][box], shares[LESION][box]  # views
        moved = np.minimum(np.rint(part * taken).astype(np.uint8), FULL - lesioned)
        part -= moved
        lesioned += moved


def _ellipsoid(offsets: Array, lesion: Lesion, radius: float) -> Array:
    """The fraction of lesion in voxels at ``offsets`` (3, ...) from its centre, with a rim of one voxel."""
    along = np.tensordot(np.array(lesion.axis), offsets, axes=1)
    across = np.maximum((offsets**2).sum(axis=0) - along**2, 0)
    distance = np.sqrt(across + (along / lesion.lengthening) ** 2)
    wave = sum(np.sin(np.tensordot(np.array(one), offsets, axes=1)) for one in lesion.waves) / 3
    filled: Array = np.clip(radius * (1 + WOBBLE * wave) - distance + 0.5, 0, 1)
    return filled


def _triple(values: NDArray[np.floating]) -> Triple:
    x, y, z = (float(value) for value in values)
    return x, y, z
