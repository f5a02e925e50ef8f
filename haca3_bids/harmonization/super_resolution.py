"""Thin slices from thick ones: a network is trained in the sharp directions of an image and applied in the blurred one.

The method follows SMORE (Zhao et al. 2021, doi:10.1109/TMI.2020.3037187). Within a slice, the image is sharp in two
directions. Blurring it along one of them with the slice profile imitates the blur across slices, with known ground
truth. The mean of the thin slices of an acquired slice is that slice.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline
from torch import Tensor

from haca3_bids.arrays import Array
from haca3_bids.networks.upsampler import Upsampler
from haca3_bids.volumes.volume import Volume

WANTED_MM = 1.0  # approximate spacing of the thin slices: that of the template grid
STEPS = 500  # of training; a fixed number, so that the same image gives the same result
SLOPPY_STEPS = 60
BATCH, SLICES, COLUMNS = 16, 16, 64  # patches a step, and their size on the coarse grid
LEARNING_RATE = 2e-3
SIGNAL = 0.2  # of the 99th percentile: a patch must hold something brighter
AT_ONCE = 8  # planes that are upsampled together
TINY = 1e-6


def super_resolved(volume: Volume, axis: int, seed: int = 0, steps: int = STEPS) -> Volume:
    """The image with slices of about 1 mm along ``axis``; the other axes do not change.

    Means of thin slices equal the acquired slices, except in air, which stays positive. The result depends only on
    image and seed, and in the last bits on the number of threads.
    """
    data = np.moveaxis(volume.data, axis, 0)  # (slices, rows, columns)
    zooms = volume.zooms_mm
    factor = max(2, round(float(zooms[axis]) / WANTED_MM))
    unit = float(np.percentile(data, 99)) + TINY
    scaled = (data / unit).astype(np.float32)
    model = _trained(scaled, np.delete(zooms, axis), float(zooms[axis]), factor, seed, steps)
    thin = _applied(model, scaled)
    to_thick = np.eye(4)
    to_thick[axis, axis] = 1 / factor
    to_thick[axis, 3] = (1 / factor - 1) / 2
    out = np.maximum(thin * unit, min(0.0, float(data.min())))  # magnitudes are not negative
    return Volume(np.ascontiguousarray(np.moveaxis(out, 0, axis)), volume.affine @ to_thick)


def box_average(centres: NDArray[np.floating], width: float, length: int) -> Array:
    """A matrix (n, length) that averages pixels (pixel i extends from i to i + 1) over boxes of ``width``."""
    edges = np.arange(length)
    low, high = centres[:, None] - width / 2, centres[:, None] + width / 2
    overlap = np.clip(np.minimum(high, edges + 1) - np.maximum(low, edges), 0, None)
    return np.asarray(overlap / np.maximum(overlap.sum(axis=1, keepdims=True), TINY), np.float32)


def _averages(spacing: float, factor: int, length: int, phase: float) -> tuple[Array, Array]:
    """Matrices from ``length`` pixels to SLICES thick and factor * SLICES thin slices, starting at ``phase``.

    ``spacing`` is that of the thick slices, in pixels.
    """
    thick = phase + spacing * (np.arange(SLICES) + 0.5)
    thin = phase + spacing * (np.arange(SLICES * factor) + 0.5) / factor
    return box_average(thick, spacing, length), box_average(thin, max(spacing / factor, 1.0), length)


def spline_rows(count: int, factor: int) -> Array:
    """A matrix (factor * count, count) that interpolates slices by a cubic spline at the thin slices' centres."""
    where = (np.arange(count * factor) + 0.5) / factor - 0.5
    spline = make_interp_spline(np.arange(count), np.eye(count), k=min(3, count - 1))
    return np.asarray(spline(np.clip(where, 0, count - 1)), np.float32)


def noise_level(data: Array) -> float:
    """Standard deviation of the noise within slices (slices, rows, columns), from the finest detail, robustly."""
    detail = data[:, 1:, 1:] - data[:, :-1, 1:] - data[:, 1:, :-1] + data[:, :-1, :-1]
    bright = data[:, 1:, 1:] > SIGNAL
    values = np.abs(detail[bright]) if bright.any() else np.abs(detail)
    return float(np.median(values) / 0.6745 / 2)


def _trained(
    data: Array, in_plane_mm: NDArray[np.float64], spacing_mm: float, factor: int, seed: int, steps: int
) -> Upsampler:
    """The network after ``steps`` steps on patches of the image's own slices."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = Upsampler(factor)
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    base = torch.from_numpy(spline_rows(SLICES, factor))
    noise = noise_level(data)
    for _ in range(steps):
        thick, thin = _patches(data, in_plane_mm, spacing_mm, factor, noise, rng)
        loss = (base @ thick + model(thick[:, None]) - thin).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def _patches(
    data: Array,
    in_plane_mm: NDArray[np.float64],
    spacing_mm: float,
    factor: int,
    noise: float,
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """Patches (BATCH, SLICES, COLUMNS) of thick slices along either in-plane direction, and the thin slices.

    Averaging reduces the noise below that of a real thick slice, so noise is added.
    """
    thick: list[Array] = []
    thin: list[Array] = []
    while len(thick) < BATCH:
        direction = int(rng.integers(2))
        plane = data[rng.integers(len(data))]
        plane = plane if direction == 0 else plane.T
        spacing = spacing_mm / float(in_plane_mm[direction])
        short = max(0, int(np.ceil(spacing * SLICES)) - plane.shape[0])
        plane = np.pad(plane, ((0, short), (0, 0)), mode="edge")
        columns = slice(int(rng.integers(max(1, plane.shape[1] - COLUMNS + 1))), None)
        patch = plane[:, columns][:, :COLUMNS]
        patch = np.pad(patch, ((0, 0), (0, COLUMNS - patch.shape[1])), mode="edge")
        phase = float(rng.uniform(0, plane.shape[0] - spacing * SLICES))
        coarse, fine = _averages(spacing, factor, plane.shape[0], phase)
        one = coarse @ patch
        if one.max() < SIGNAL and rng.uniform() > 0.05:
            continue
        lost = np.sqrt(max(0.0, 1 - 1 / spacing))
        one = one + np.float32(noise * lost) * rng.standard_normal(one.shape, np.float32)
        turned = slice(None, None, -1) if rng.uniform() < 0.5 else slice(None)
        thick.append(one[turned])
        thin.append((fine @ patch)[turned])
    return torch.from_numpy(np.stack(thick)), torch.from_numpy(np.stack(thin))


@torch.inference_mode()
def _applied(model: Upsampler, data: Array) -> Array:
    """Thin slices (factor * slices, rows, columns): the mean of the results along rows and along columns."""
    base = np.tensordot(spline_rows(len(data), model.factor), data, axes=1)
    found = np.zeros_like(base)
    for swap in (False, True):
        planes = data.transpose(2, 0, 1) if swap else data.transpose(1, 0, 2)  # (planes, slices, columns)
        for first in range(0, len(planes), AT_ONCE):
            batch = torch.from_numpy(np.ascontiguousarray(planes[first : first + AT_ONCE]))[:, None]
            residual = model(batch).numpy()
            part = slice(first, first + AT_ONCE)
            if swap:
                found[:, :, part] += residual.transpose(1, 2, 0) / 2
            else:
                found[:, part] += residual.transpose(1, 0, 2) / 2
    return _faithful(base + found, data, model.factor)


def _faithful(thin: Array, thick: Array, factor: int) -> Array:
    """The thin slices, shifted so that the mean of those of one thick slice is that slice."""
    mean = thin.reshape(len(thick), factor, *thick.shape[1:]).mean(axis=1)
    return np.asarray(thin + np.repeat(thick - mean, factor, axis=0), np.float32)
