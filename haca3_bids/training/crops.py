"""Batches of anatomy for the mixture model: deformed crops or whole slices of heads, some with lesions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from haca3_bids.arrays import Array
from haca3_bids.physics.anatomy import FULL, Anatomy, placed
from haca3_bids.physics.tissues import IN_BRAIN, LESION, WHITE
from haca3_bids.volumes.canvas import CANVAS

CROP, WINDOW = 80, 112  # pixels a side: of a crop, and of the window that it is cut from after deformation
AXES = (2, 1, 0)  # array axis across axial, coronal and sagittal slices
ROTATION, SCALING, SHIFT = 0.12, 0.06, 0.03  # standard deviations: radians, of the logarithm, of half the window
ELASTIC_PIXELS, ELASTIC_CELLS = 2.5, 28  # standard deviation of the displacement, pixels between its knots
STRIPPED, LESIONED, THICK = 0.15, 0.35, 0.25  # fractions of the samples
LESIONS, LESION_RADII = 6, (1.2, 7.0)  # largest number in a slice; pixels
COARSE = 15_000  # voxels, from all heads together, from which percentiles are computed
NEIGHBOURS = (2, 4)  # number of thin slices in a thick one


@dataclass(frozen=True)
class Crops:
    """Tissue fractions of a batch, (batch, tissues, h, w); the remainder to one is air."""

    shares: Tensor
    thick: Tensor  # the same, averaged over neighbouring slices in some samples, as in a scan with thick slices

    @property
    def air(self) -> Tensor:
        """Fraction of air, (batch, 1, h, w)."""
        return (1 - self.shares.sum(dim=1, keepdim=True)).clamp(min=0)


class Heads:
    """Heads in memory (107 MB each), with tissues along the last axis so that reading a crop is fast."""

    def __init__(self, anatomies: Sequence[Anatomy]) -> None:
        self.shares = [np.ascontiguousarray(np.moveaxis(one.shares, 0, -1)) for one in anatomies]
        self.inside = [
            np.argwhere(one[::4, ::4, ::4].sum(axis=-1, dtype=np.uint16) > FULL // 2) * 4 for one in self.shares
        ]

    def coarse(self) -> Tensor:
        """Tissue fractions (tissues, voxels) of about COARSE voxels of all heads, air included, for percentiles."""
        step = max(1, round((sum(one[..., 0].size for one in self.shares) / COARSE) ** (1 / 3)))
        parts = [one[::step, ::step, ::step].reshape(-1, one.shape[-1]) for one in self.shares]
        return torch.from_numpy(np.concatenate(parts).T.astype(np.float32) / FULL)

    def draw(self, count: int, rng: np.random.Generator, device: torch.device, *, whole: bool = False) -> Crops:
        """Crops of CROP pixels a side from random places of random heads, or ``whole`` slices of 224."""
        size = CANVAS if whole else WINDOW
        neighbours = [
            int(rng.integers(*NEIGHBOURS, endpoint=True)) if rng.uniform() < THICK else 1 for _ in range(count)
        ]
        thin, slabs = zip(*(self._window(size, around, rng, whole) for around in neighbours), strict=True)
        grid = _deformation(count, size, CANVAS if whole else CROP, rng, device)
        kept = _kept_tissues(count, rng).to(device)
        shares = _deformed(np.stack(thin), grid) * kept
        thick, several = shares.clone(), np.flatnonzero(np.array(neighbours) > 1)
        if several.size:
            thick[several] = _deformed(np.stack([slabs[number] for number in several]), grid[several]) * kept[several]
        patches = _lesions(shares, rng)
        return Crops(_with_lesions(shares, patches), _with_lesions(thick, patches))

    def _window(
        self, size: int, neighbours: int, rng: np.random.Generator, whole: bool
    ) -> tuple[NDArray[np.uint8], Array]:
        """Thin and thick fractions (size, size, tissues) around a random voxel of a random head."""
        number = int(rng.integers(len(self.shares)))
        head, centre = self.shares[number], self.inside[number][rng.integers(len(self.inside[number]))]
        axis = AXES[rng.integers(len(AXES))]
        if whole:
            middle = np.array(head.shape[:3]) // 2
            centre = np.where(np.arange(3) == axis, centre, middle)
        low = int(np.clip(centre[axis] - neighbours // 2, 0, head.shape[axis] - neighbours))
        slab = np.moveaxis(head, axis, 0)[low : low + neighbours]
        rows, columns = (a for a in range(3) if a != axis)
        origin = [0, size // 2 - int(centre[rows]), size // 2 - int(centre[columns]), 0]
        planes = placed(slab, origin, (len(slab), size, size, slab.shape[-1])).swapaxes(1, 2)
        if axis != AXES[0]:
            planes = planes[:, ::-1]  # rows run from the top of the head down, as the networks see it
        thin = planes[min(int(centre[axis]) - low, neighbours - 1)]
        return thin, planes.mean(axis=0, dtype=np.float32) if neighbours > 1 else thin.astype(np.float32)


def _deformation(count: int, length: int, size: int, rng: np.random.Generator, device: torch.device) -> Tensor:
    """A grid for ``grid_sample`` (count, size, size, 2): random deformations of windows of ``length`` pixels.

    The centre of each window is rotated, scaled, mirrored and deformed elastically.
    """
    angle = rng.normal(0, ROTATION, count)
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], 1).reshape(count, 2, 2)
    turn = turn * np.exp(rng.normal(0, SCALING, (count, 1, 2))) * (size / length)
    turn[:, :, 0] *= rng.choice([-1, 1], (count, 1))
    matrix = np.concatenate([turn, rng.normal(0, SHIFT, (count, 2, 1))], axis=2)
    affine = torch.from_numpy(matrix).float().to(device)
    grid = functional.affine_grid(affine, [count, 1, size, size], align_corners=False)
    cells = size // ELASTIC_CELLS + 2
    bend = torch.from_numpy(rng.normal(0, 2 * ELASTIC_PIXELS / length, (count, 2, cells, cells))).float().to(device)
    bend = functional.interpolate(bend, (size, size), mode="bicubic", align_corners=True)
    return grid + bend.movedim(1, -1)


def _deformed(windows: NDArray[np.generic], grid: Tensor) -> Tensor:
    """Fractions 0..1 (batch, tissues, h, w) of windows (batch, n, n, tissues) in 1/255, sampled at ``grid``."""
    loaded = torch.from_numpy(windows).to(grid.device).movedim(-1, 1).float() / FULL
    return functional.grid_sample(loaded, grid, align_corners=False)


def _kept_tissues(count: int, rng: np.random.Generator) -> Tensor:
    """Weights (batch, tissues, 1, 1): 1, but 0 for tissues outside the brain in skull-stripped samples."""
    stripped = rng.uniform(size=(count, 1)) < STRIPPED
    return torch.from_numpy(np.where(stripped, IN_BRAIN, True).astype(np.float32))[:, :, None, None]


def _lesions(shares: Tensor, rng: np.random.Generator) -> Tensor:
    """Soft-edged ellipses (batch, h, w), 0 to 1, centred in white matter; none in most samples."""
    count, _, height, width = shares.shape
    white = shares[:, WHITE].cpu().numpy()
    out = torch.zeros(count, height, width, device=shares.device)
    rows = torch.arange(height, device=shares.device)[:, None]
    columns = torch.arange(width, device=shares.device)[None]
    for number in np.flatnonzero(rng.uniform(size=count) < LESIONED):
        places = np.argwhere(white[number] > 0.8)
        for row, column in places[rng.integers(len(places), size=rng.integers(1, LESIONS + 1))] if len(places) else ():
            angle = rng.uniform(0, np.pi)
            radii = np.exp(rng.uniform(*np.log(LESION_RADII))) * np.exp(rng.normal(0, 0.3, 2))
            along = (rows - row) * np.cos(angle) + (columns - column) * np.sin(angle)
            across = (columns - column) * np.cos(angle) - (rows - row) * np.sin(angle)
            distance = (torch.hypot(along / radii[0], across / radii[1]) - 1) * radii.min()  # pixels, roughly
            out[number] = torch.maximum(out[number], (0.5 - distance).clamp(0, 1))
    return out


def _with_lesions(shares: Tensor, patches: Tensor) -> Tensor:
    """The fractions with white matter turned into lesion where there are patches."""
    changed = shares[:, WHITE] * patches
    out = shares.clone()
    out[:, WHITE] -= changed
    out[:, LESION] += changed
    return out
