"""Simulated acquisition of batches of images in PyTorch: bias, thick slices, noise, interpolation, motion, ghosts.

The batched counterpart of ``physics.scanner``. Images are (batch, h, w); white matter has the intensity 1.
"""

from dataclasses import dataclass, field
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from haca3_bids.physics.scanner import acquire, draw_artifacts, thick_slices

BIAS, STRONG_BIAS, STRONGLY_BIASED = 0.10, 0.30, 0.1  # largest standard deviations of the logarithm; fraction of scans
BIAS_CELL = 56  # pixels between the knots of the field
NOISE, STRONG_NOISE = (0.005, 0.05), (0.05, 0.25)  # standard deviation in each channel (real, imaginary)
BAD, BAD_WHOLE = 0.15, 0.4  # fraction of the scans with an artifact: crops, whole slices
THICKNESS = (1.5, 5.0)  # pixels; the image plane is perpendicular to the thick slices
THICK = 0.3  # fraction of the scans
MASKED = 0.9  # fraction of the scans whose background is removed, as preprocessing does
CLOSING = 21  # pixels: holes of the head mask smaller than this are filled, as background removal does
FAT_SUPPRESSED, FAT_LEFT = 0.3, (0.03, 0.4)  # fraction of the sources; range of the fraction of fat signal that is left
CUT = 0.06  # fraction of the scans whose field of view ends inside the image
MOVED, MOVED_PIXELS, MOVED_RADIANS = 0.6, 0.35, 0.004  # registration error: fraction of scans, standard deviations
SCALING = 0.03  # standard deviation of the logarithm of the intensity scale: error of the white-matter peak


@dataclass(frozen=True)
class Scans:
    """Simulated scans; a severity of about 1 means that the scan would be repeated."""

    images: Tensor  # (batch, h, w)
    covers: Tensor  # (batch, h, w), 1 inside the field of view, else 0
    severity: Tensor  # (batch,), of the artifacts


@dataclass(frozen=True)
class Scanner:
    """A simulated scanner; random numbers come from ``generator`` (on the device of the images) and ``rng``."""

    generator: torch.Generator
    rng: np.random.Generator = field(default_factory=np.random.default_rng)

    def acquire(self, images: Tensor, head: Tensor, *, whole: bool) -> Scans:
        """Scans of noise-free images; ``head`` (batch, h, w) is the ``closed`` mask.

        Motion and ghosts are simulated on ``whole`` slices only.
        """
        count = len(images)
        images = images * self._bias(images)
        bad = self.rng.uniform(size=count) < (BAD_WHOLE if whole else BAD)
        severity = torch.zeros(count, device=images.device)
        if whole:
            images, severity = self._moved(images, bad)
            bad &= severity.cpu().numpy() == 0
        images = self._thick(images)
        images, noise = self._noisy(images, torch.from_numpy(bad).to(images.device))
        images = self._interpolated(images)
        masked = (self.uniform(count) < MASKED)[:, None, None]
        images = images * torch.where(masked, head, torch.ones_like(head))
        images = images * (SCALING * self.normal(count, 1, 1)).exp()
        covers = self._covers(images)
        return Scans(images * covers, covers, torch.hypot(severity, noise / 0.12))

    def misregistered(self, count: int, size: int) -> Tensor:
        """Grids (count, size, size, 2) for ``resampled``: small random rigid motions of images of ``size`` pixels."""
        moved = (self.uniform(count, 1) < MOVED).float()
        angle = MOVED_RADIANS * moved * self.normal(count, 1)
        shift = 2 * MOVED_PIXELS / size * moved * self.normal(count, 2)
        turn = torch.stack([torch.cos(angle), -torch.sin(angle), torch.sin(angle), torch.cos(angle)], -1)
        matrix = torch.cat([turn.reshape(count, 2, 2), shift[..., None]], dim=2)
        return functional.affine_grid(matrix, [count, 1, size, size], align_corners=False)

    def uniform(self, *shape: int) -> Tensor:
        """Random numbers, uniform on [0, 1)."""
        return torch.rand(*shape, generator=self.generator, device=self.generator.device)

    def normal(self, *shape: int) -> Tensor:
        """Random numbers of the standard normal distribution."""
        return torch.randn(*shape, generator=self.generator, device=self.generator.device)

    def fields(self, like: Tensor, cell: float) -> Tensor:
        """Smooth random fields of unit standard deviation, with the shape (batch, channels, h, w) of ``like``."""
        count, channels, height, width = like.shape
        knots = self.normal(count, channels, int(height / cell) + 2, int(width / cell) + 2)
        smooth = functional.interpolate(knots, (height, width), mode="bicubic", align_corners=True)
        return smooth / 0.8  # approximate standard deviation of bicubically interpolated white noise

    def _bias(self, images: Tensor) -> Tensor:
        strong = self.uniform(len(images)) < STRONGLY_BIASED
        largest = torch.where(strong, STRONG_BIAS, BIAS) * self.uniform(len(images))
        return (largest[:, None, None] * self.fields(images[:, None], BIAS_CELL)[:, 0]).exp()

    def _moved(self, images: Tensor, bad: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> tuple[Tensor, Tensor]:
        severity, out = torch.zeros(len(images), device=images.device), images.clone()
        for number in np.flatnonzero(bad):
            how = draw_artifacts(self.rng)
            severity[number] = how.severity
            out[number] = torch.from_numpy(acquire(images[number].cpu().numpy(), how)).to(images.device)
        return out, severity

    def _thick(self, images: Tensor) -> Tensor:
        """The images, some of them averaged over thick slices along rows or columns."""
        size, out = images.shape[-1], images.clone()
        for number in np.flatnonzero(self.rng.uniform(size=len(images)) < THICK):
            matrix = thick_matrix(size, round(float(self.rng.uniform(*THICKNESS)), 1)).to(images.device)
            along_rows = self.rng.uniform() < 0.5
            out[number] = matrix @ images[number] if along_rows else images[number] @ matrix.T
        return out

    def _noisy(self, images: Tensor, bad: Tensor) -> tuple[Tensor, Tensor]:
        """The images with Rician noise, and its standard deviation (batch,) where it is an artifact, else 0."""
        low, high = (torch.where(bad, strong, usual) for strong, usual in zip(STRONG_NOISE, NOISE, strict=True))
        std = low + (high - low) * self.uniform(len(images))
        real, imaginary = (std[:, None, None] * self.normal(*images.shape) for _ in range(2))
        return torch.hypot(images + real, imaginary), std * bad

    def _interpolated(self, images: Tensor) -> Tensor:
        """The images, half of them with neighbouring pixels mixed: blur and correlated noise, as from a resampling."""
        for axis in (-1, -2):
            part = 0.5 * self.uniform(len(images)) * (self.uniform(len(images)) < 0.5)
            images = torch.lerp(images, images.roll(1, axis), part[:, None, None])
        return images

    def _covers(self, images: Tensor) -> Tensor:
        """Field-of-view masks (batch, h, w): ones, but zeros on one side of a line in a few scans."""
        covers, height = torch.ones_like(images), images.shape[1]
        for number in np.flatnonzero(self.rng.uniform(size=len(images)) < CUT):
            edge, rows = int(self.rng.integers(height // 4, 3 * height // 4)), self.rng.uniform() < 0.5
            beyond = slice(edge, None) if self.rng.uniform() < 0.5 else slice(0, edge)
            covers[(number, beyond) if rows else (number, slice(None), beyond)] = 0
        return covers


def resampled(images: Tensor, grid: Tensor) -> Tensor:
    """Images (batch, h, w) at the coordinates ``grid`` (batch, h, w, 2), by bicubic interpolation; not below zero."""
    moved = functional.grid_sample(images[:, None], grid, mode="bicubic", padding_mode="border", align_corners=False)
    return moved[:, 0].clamp(min=0)


@cache
def thick_matrix(size: int, thickness_pixels: float) -> Tensor:
    """The matrix (size, size) that applies ``physics.scanner.thick_slices`` along one axis."""
    return torch.from_numpy(thick_slices(np.eye(size, dtype=np.float32), 0, thickness_pixels))


def closed(mask: Tensor) -> Tensor:
    """Morphological closing of binary masks (batch, h, w) with a square of CLOSING pixels."""
    reach = CLOSING // 2
    grown = functional.pad(mask[:, None], (reach,) * 4, mode="replicate")
    for axis in ((CLOSING, 1), (1, CLOSING)):
        grown = functional.max_pool2d(grown, axis, 1, (axis[0] // 2, axis[1] // 2))
    for axis in ((CLOSING, 1), (1, CLOSING)):
        grown = -functional.max_pool2d(-grown, axis, 1, (axis[0] // 2, axis[1] // 2))
    return grown[:, 0, reach:-reach, reach:-reach]
