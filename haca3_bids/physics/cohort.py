"""A cohort: people who travel between sites, or stay at one, and what each scanner makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from haca3_bids.physics.anatomy import AFFINE, FULL, SHAPE, Anatomy
from haca3_bids.physics.protocols import draw_site
from haca3_bids.physics.render import render, texture, tissue_weights
from haca3_bids.physics.scanner import Imperfections, acquire, draw_acquisition
from haca3_bids.physics.signal import Protocol
from haca3_bids.physics.tissues import person_deviations
from haca3_bids.volumes.volume import Volume

Array = NDArray[np.float32]

SLAB = 16  # slices rendered at a time, to keep memory small
TILT_DEG, OFFSET_MM = 8.0, 10.0  # largest, of a head in the scanner
THICKNESSES_MM = (1, 1, 2, 3)  # what a site may use along its slice axis
SCALES = (150.0, 2500.0)  # intensity of white matter: scanners have no unit


@dataclass(frozen=True)
class Site:
    """A scanner: a protocol and a slice thickness (along axis 2, mm) for each contrast, and its intensity scale."""

    name: str
    protocols: dict[str, Protocol]
    thickness_mm: dict[str, int]
    scale: float


@dataclass(frozen=True)
class Scan:
    """One image of one person at one site, and the truth behind it on the anatomy's own grid."""

    subject: str
    site: Site
    contrast: str
    image: Volume
    truth: Volume  # noise-free, white matter = 1, 1 mm, head upright in MNI position


def draw_sites(count: int, contrasts: Sequence[str], rng: np.random.Generator) -> list[Site]:
    """Sites named A, B, ... with protocols from published ranges; T1w is always acquired at 1 mm."""
    sites = []
    for index in range(count):
        protocols = draw_site(rng, tuple(contrasts))
        thickness = {c: 1 if c == "T1w" else int(rng.choice(THICKNESSES_MM)) for c in contrasts}
        scale = float(np.exp(rng.uniform(*np.log(SCALES))))
        sites.append(Site(_site_name(index), protocols, thickness, scale))
    return sites


def _site_name(index: int) -> str:
    return chr(ord("A") + index) if index < 26 else f"S{index + 1}"


def scans(anatomy: Anatomy, subject: str, sites: Sequence[Site], rng: np.random.Generator) -> Iterator[Scan]:
    """One person's images at each of the sites: the same tissues and texture, another pose and another noise."""
    deviations, local = person_deviations(rng), texture(SHAPE, rng)
    for site in sites:
        pose = random_pose(rng)
        for contrast, protocol in site.protocols.items():
            truth = rendered(anatomy, tissue_weights(protocol, deviations), local)
            how = replace(draw_acquisition(rng), thick_axis=None)
            image = _acquired(truth, how, site.thickness_mm[contrast])
            image = Volume(image.data * np.float32(site.scale), pose @ image.affine)
            yield Scan(subject, site, contrast, image, Volume(truth, AFFINE))


def rendered(anatomy: Anatomy, weights: Array, local: Array) -> Array:
    """The noise-free volume of an anatomy, white matter = 1, shape (192, 224, 192)."""
    slabs = range(0, SHAPE[2], SLAB)
    parts = [render(anatomy.shares[..., z : z + SLAB], weights, local[..., z : z + SLAB]) for z in slabs]
    return np.concatenate(parts, axis=2)


def _acquired(truth: Array, how: Imperfections, thickness_mm: int) -> Volume:
    """The volume with slices of ``thickness_mm`` along axis 2, and everything else the acquisition does."""
    affine = AFFINE.copy()
    if thickness_mm > 1:
        count = truth.shape[2] // thickness_mm
        truth = truth[..., : count * thickness_mm].reshape(*truth.shape[:2], count, thickness_mm).mean(axis=3)
        affine[:, 3] += affine[:, 2] * (thickness_mm - 1) / 2
        affine[:, 2] *= thickness_mm
    return Volume(acquire(truth, how), affine)


def random_pose(rng: np.random.Generator) -> NDArray[np.float64]:
    """A rigid transform of scanner space, (4, 4), in mm: how this head lies in this scanner."""
    angles = np.deg2rad(rng.uniform(-TILT_DEG, TILT_DEG, 3))
    pose = np.eye(4)
    for axis, angle in enumerate(angles):
        i, j = (k for k in range(3) if k != axis)
        turn = np.eye(4)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        pose = pose @ turn
    pose[:3, 3] = rng.uniform(-OFFSET_MM, OFFSET_MM, 3)
    return pose


def another_person(anatomy: Anatomy, rng: np.random.Generator) -> Anatomy:
    """The anatomy deformed smoothly and scaled a little: a stranger with the same labels."""
    grid = np.stack(np.meshgrid(*(np.arange(n, dtype=np.float32) for n in SHAPE), indexing="ij"))
    centre = np.array(SHAPE, np.float32).reshape(3, 1, 1, 1) / 2
    scale = np.exp(rng.normal(0, 0.04, (3, 1, 1, 1))).astype(np.float32)
    grid = (grid - centre) * scale + centre
    for axis in range(3):
        coarse = rng.normal(0, 2.5, (7, 8, 7)).astype(np.float32)  # millimetres
        zoom = [n / c for n, c in zip(SHAPE, coarse.shape, strict=True)]
        grid[axis] += ndimage.zoom(coarse, zoom, order=1, grid_mode=True, mode="nearest")
    moved = [ndimage.map_coordinates(share.astype(np.float32), grid, order=1) for share in anatomy.shares]
    total = np.maximum(sum(moved) / FULL, 1)
    return Anatomy(np.stack([np.rint(share / total).astype(np.uint8) for share in moved]), f"{anatomy.name}-deformed")
