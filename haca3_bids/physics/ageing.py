"""Ageing: ventricles expand and displace the surrounding tissue, and the cortex becomes thinner.

Rates are typical of healthy adults: ventricles 0.4 to 1.5 ml a year (Scahill et al., Arch Neurol 60:989, 2003;
Resnick et al., J Neurosci 23:3295, 2003), cortex 0.005 to 0.01 mm a year (Salat et al., Cereb Cortex 14:721, 2004).
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from haca3_bids.arrays import Array, Mask
from haca3_bids.physics.anatomy import FULL, Anatomy
from haca3_bids.physics.tissues import BRAIN, TISSUES
from haca3_bids.physics.ventricles import brain_box, ventricles

AGE_OF_MAPS = 30.0  # years: label maps are mostly of young adults; at this age, a head is the map itself
VENTRICLE_MM_A_YEAR = 0.05  # the wall moves outwards
CORTEX_MM_A_YEAR = 0.007
SPREAD = 0.3  # standard deviation of the logarithm of both rates between people
FADE_MM = 12.0  # distance over which the displacement by the ventricles decays
LARGEST_PUSH = 0.8  # of FADE_MM: more would fold the tissue
STEP_BACK_MM, FLAT = 0.5, 0.5  # steps back to the origin of the tissue, shorter where the slope is below FLAT
STEP_MM = 0.25  # of the receding cortex
MOVED = (*BRAIN, "vessel")


@dataclass(frozen=True)
class Ageing:
    """How fast one person's brain changes."""

    ventricle_mm_a_year: float
    cortex_mm_a_year: float

    def __post_init__(self) -> None:
        if min(self.ventricle_mm_a_year, self.cortex_mm_a_year) < 0:
            raise ValueError("rates of ageing must not be negative")


def draw_ageing(rng: np.random.Generator) -> Ageing:
    """The rates of one person."""
    ventricle, cortex = np.exp(SPREAD * rng.standard_normal(2))
    return Ageing(float(VENTRICLE_MM_A_YEAR * ventricle), float(CORTEX_MM_A_YEAR * cortex))


def aged(anatomy: Anatomy, ageing: Ageing, years: float) -> Anatomy:
    """A new anatomy, ``years`` later (the same for 0). ValueError for negative years."""
    if years < 0:
        raise ValueError(f"{years:g} years: a head cannot be made younger than its map")
    if years == 0:
        return anatomy
    box = brain_box(anatomy)
    rows = [TISSUES.index(name) for name in MOVED]
    part: Array = np.stack([anatomy.shares[row][box] for row in rows]).astype(np.float32) / np.float32(FULL)
    part = _filled(_pushed(part, ventricles(anatomy)[box], ageing.ventricle_mm_a_year * years), part)
    part = _receded(part, ageing.cortex_mm_a_year * years)
    shares = np.array(anatomy.shares)
    for row, share in zip(rows, part, strict=True):
        shares[row][box] = np.rint(np.clip(share, 0, 1) * FULL)  # rounded apart, shares add up to a little more
    return Anatomy(shares, anatomy.name)


def _pushed(part: Array, fluid: Mask, push_mm: float) -> Array:
    """Tissue fractions (tissues, x, y, z) after the wall of ``fluid`` moved outwards by ``push_mm``.

    Tissue at distance r from the wall comes from r - push exp(-r / FADE_MM), which does not fold if the push is less
    than FADE_MM. The displacement fades to zero at the surface of the brain, since the skull does not move.
    """
    if not fluid.any():
        return part
    distance = ndimage.distance_transform_edt(~fluid) - ndimage.distance_transform_edt(fluid)
    distance = ndimage.gaussian_filter(distance.astype(np.float32), 1.0)
    brain = part.sum(axis=0) > 0.5
    room = np.clip(ndimage.distance_transform_edt(ndimage.binary_fill_holes(brain)) / FADE_MM, 0, 1)
    push = min(push_mm, LARGEST_PUSH * FADE_MM) * np.exp(-np.maximum(distance, 0) / FADE_MM) * room
    where = _followed_back(distance, push.astype(np.float32))
    moved = np.zeros_like(part)
    for before, after in zip(part, moved, strict=True):
        if before.any():
            ndimage.map_coordinates(before, where, after, order=1, mode="nearest")
    return moved


def _followed_back(distance: Array, push: Array) -> Array:
    """The position of each voxel's tissue, (3, ...), before it moved by ``push`` along the gradient of ``distance``.

    The way back is followed in short steps, so that it ends in the middle of a narrow ventricle, where the gradient
    reverses, instead of on its other side.
    """
    slope = np.stack(np.gradient(distance)).astype(np.float32)
    slope /= np.maximum(np.sqrt((slope**2).sum(axis=0)), FLAT)
    where = np.indices(distance.shape, dtype=np.float32)
    steps = max(1, int(np.ceil(float(push.max()) / STEP_BACK_MM)))
    for _ in range(steps):
        x, y, z = (np.clip(np.rint(at), 0, n - 1).astype(np.intp) for at, n in zip(where, distance.shape, strict=True))
        where -= slope[:, x, y, z] * (push / np.float32(steps))
    return where


def _filled(part: Array, before: Array) -> Array:
    """Fractions scaled to their sum before in each voxel, because the skull around the brain does not move."""
    total, wanted = part.sum(axis=0), before.sum(axis=0)
    return np.where(total > 0.05, part * (wanted / np.maximum(total, 0.05)), before).astype(np.float32)


def _receded(part: Array, thinning_mm: float) -> Array:
    """Tissue fractions after fluid moved into grey matter by ``thinning_mm`` (level-set equation dc/dt = |grad c|)."""
    csf, grey = MOVED.index("csf"), MOVED.index("grey")
    part = part.copy()
    steps = int(np.ceil(thinning_mm / STEP_MM))
    for _ in range(steps):
        lost = np.minimum(part[grey], thinning_mm / steps * _upwind_slope(part[csf]))
        part[grey] -= lost
        part[csf] += lost
    return part


def _upwind_slope(field: Array) -> Array:
    """The upwind gradient magnitude towards larger values, per voxel, for an advancing front (Osher and Sethian)."""
    padded = np.pad(field, 1, mode="edge")
    total = np.zeros_like(field)
    inner = slice(1, -1)
    for axis in range(field.ndim):
        rise = np.zeros_like(field)
        for shift in (0, 2):
            other = tuple(slice(shift, shift + n) if a == axis else inner for a, n in enumerate(field.shape))
            np.maximum(rise, padded[other] - field, out=rise)
        total += rise**2
    return np.sqrt(total)
