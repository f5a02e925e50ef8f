"""Simulated scans of heads in known positions, at 2 mm, for the registration benchmarks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from haca3_bids.physics.anatomy import AFFINE, Anatomy
from haca3_bids.physics.protocols import REFERENCE_PROTOCOLS
from haca3_bids.physics.render import render, texture, tissue_weights
from haca3_bids.physics.scanner import Imperfections, acquire
from haca3_bids.physics.signal import Protocol
from haca3_bids.physics.tissues import person_deviations
from haca3_bids.preprocessing.head import dilated
from haca3_bids.preprocessing.resampling import resample
from haca3_bids.preprocessing.transforms import Matrix, inverse, similarity_matrix
from haca3_bids.volumes.volume import Volume

COVERAGES = ("whole", "no neck", "no vertex", "slab of 40", "skull-stripped", "child")
THICKNESSES_MM = (2, 3, 5)  # 2: a 3D scan, resampled as for registration
BRAIN_CENTRE_MM = np.array([0.0, -18.0, 8.0])  # in MNI space
VOXEL_MM = 2.0  # in plane, the resolution of registration
FIELD_OF_VIEW_MM = 256.0
NECK_MM, VERTEX_MM = -60.0, 62.0  # heights in MNI space at which scans without neck or vertex end
SLAB_SLICES = 40
CHILD = 0.80  # size relative to an adult head
PLANNING_DEG = 10.0  # largest deviation of a planned slab from the intended plane


@dataclass(frozen=True)
class Case:
    """One scan of one head."""

    coverage: str
    contrast: str
    thickness_mm: int
    tilt_deg: float
    offset_mm: float
    head: int
    seed: int

    @property
    def name(self) -> str:
        """All properties in one line, the key of a finished case."""
        return (
            f"{self.coverage}|{self.contrast}|{self.thickness_mm} mm|{self.tilt_deg:g} deg|{self.offset_mm:g} mm|"
            f"head {self.head}|{self.seed}"
        )


def clean_image(anatomy: Anatomy, protocol: Protocol, seed: int) -> Volume:
    """The noise-free image of a person with this anatomy, white matter = 1, in the anatomy's own position, 2 mm."""
    rng = np.random.default_rng(seed)
    shares = halved(anatomy.shares)
    local = texture(shares.shape[1:], rng)
    affine = AFFINE @ np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = (AFFINE @ [0.5, 0.5, 0.5, 1.0])[:3]
    return Volume(render(shares, tissue_weights(protocol, person_deviations(rng)), local), affine)


def halved(shares: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Tissue fractions at 2 mm: means of blocks of 2 x 2 x 2 voxels."""
    blocks = [size for n in shares.shape[1:] for size in (n // 2, 2)]
    return np.stack([share.reshape(blocks).mean(axis=(1, 3, 5), dtype=np.float32) for share in shares]).astype(np.uint8)


def scan_of(anatomy: Anatomy, case: Case) -> tuple[Volume, Matrix]:
    """The scan, and the transform from millimetres of the anatomy to those of the scan (scaled for a child)."""
    rng = np.random.default_rng(case.seed)
    image = clean_image(anatomy, REFERENCE_PROTOCOLS[case.contrast], case.head)
    if case.coverage == "skull-stripped":
        image = image.with_data(
            image.data * (halved(dilated(anatomy.brain, np.ones(3), 1.0)[None] * np.uint8(2))[0] > 0)
        )
    turn, shift = _direction(rng) * np.radians(case.tilt_deg), _direction(rng) * case.offset_mm
    scale = np.log(CHILD) if case.coverage == "child" else 0.0
    pose = similarity_matrix(turn, shift, scale, BRAIN_CENTRE_MM)
    grid = _grid(case, pose, rng)
    how = Imperfections(seed=case.seed, bias=0.15, noise=0.03)
    thin = resample(image, grid, inverse(pose), order=1)
    slices = _slices(thin, case.thickness_mm)
    # the noise of a magnitude image fills the air as well; a skull-stripped one has none there
    noisy = acquire(slices.data, how)
    if case.coverage == "skull-stripped":
        noisy = noisy * ndimage.binary_dilation(slices.data > 0.02)
    return slices.with_data(500 * noisy), pose


def upright(contrast: str, head: int) -> Case:
    """The easiest scan of a head: whole, 3D, not moved."""
    return Case("whole", contrast, 2, 0.0, 0.0, head, 1000 + head)


def _grid(case: Case, pose: Matrix, rng: np.random.Generator) -> Volume:
    """A grid of thin slices of 1 mm (2 mm for a 3D scan), as many as the coverage requires."""
    follows_head = case.coverage in ("no neck", "no vertex", "slab of 40")
    low, high = _extent(case, rng)
    step = VOXEL_MM if case.thickness_mm == 2 else 1.0
    count = int((high - low) // case.thickness_mm) * (1 if case.thickness_mm == 2 else case.thickness_mm)
    across = int(FIELD_OF_VIEW_MM / VOXEL_MM)
    affine = np.diag([VOXEL_MM, VOXEL_MM, step, 1.0])
    affine[:3, 3] = [*(BRAIN_CENTRE_MM[:2] - VOXEL_MM * (across - 1) / 2), low]
    if follows_head:
        planned = similarity_matrix(
            _direction(rng) * np.radians(PLANNING_DEG) * rng.uniform(), np.zeros(3), 0.0, BRAIN_CENTRE_MM
        )
        affine = pose @ planned @ affine
    else:  # axes of the scanner, with the head near the centre
        centre = pose[:3, :3] @ BRAIN_CENTRE_MM + pose[:3, 3]
        affine[:3, 3] += centre - BRAIN_CENTRE_MM + rng.uniform(-8, 8, 3)
    return Volume(np.zeros((across, across, count), np.float32), affine)


def _extent(case: Case, rng: np.random.Generator) -> tuple[float, float]:
    """The lowest and highest position of slices, in millimetres of the head."""
    if case.coverage == "no neck":
        return NECK_MM, 110.0
    if case.coverage == "no vertex":
        return -120.0, VERTEX_MM
    if case.coverage == "slab of 40":
        half = SLAB_SLICES * case.thickness_mm / 2
        middle = 12.0 + rng.uniform(-8, 8)
        return middle - half, middle + half
    return -115.0, 115.0


def _slices(thin: Volume, thickness_mm: int) -> Volume:
    if thickness_mm == 2:
        return thin
    data = thin.data.reshape(*thin.shape[:2], -1, thickness_mm).mean(axis=3)
    change = np.diag([1.0, 1.0, thickness_mm, 1.0])
    change[2, 3] = (thickness_mm - 1) / 2
    return Volume(data, thin.affine @ change)


def _direction(rng: np.random.Generator) -> NDArray[np.float64]:
    vector = rng.normal(size=3)
    return np.asarray(vector / np.linalg.norm(vector))
