"""Preparation of an image for the networks: on the canvas, scaled, without background."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import binary_fill_holes

from haca3_bids.arrays import Array, Mask
from haca3_bids.errors import BadInput
from haca3_bids.intensity.background import closed, head_mask, largest_piece
from haca3_bids.intensity.percentile import estimated_coverage, scaled, upper_percentile
from haca3_bids.settings import HarmonizationSettings
from haca3_bids.volumes.canvas import (
    AUTHORS_GRID,
    CANVAS,
    LPS,
    SIZE_TOLERANCE,
    Canvas,
    authors_window,
    fit_authors,
    fit_canvas,
    needs_content,
)
from haca3_bids.volumes.volume import Volume, reorient

TILT = 0.02  # radians, about a degree: 2 mm at the rim of a head
OVERLAP = 0.5  # of the smaller grid: with less overlap, a grid is not at the position of the authors'
SMALLEST_MM, LARGEST_MM, LARGEST_TILT = 0.7, 1.4, 0.27  # beyond these, a grid is unusual; sine of 15 degrees
DARK = 1e-6  # a threshold up to this (scaled intensity) means that all of the head counts as seen, with dark fluid


@dataclass(frozen=True)
class Prepared:
    """One image on the canvas; arrays have axes (x, y, z), stored LPS+, 224 voxels each."""

    values: Array  # 0..5, zero outside the head
    votes: Mask  # where the image has data
    covered: Mask  # its field of view
    scale: float  # the 95th percentile by which it was divided


@dataclass(frozen=True)
class Rim:
    """Masks that go with the images, on the same grid."""

    coverage: Mapping[str, Volume]
    head: Volume | None = None
    content: Volume | None = None  # what the canvas must show (default: the head)
    brain: Volume | None = None


def fit_images(images: Mapping[str, Volume], rim: Rim, settings: HarmonizationSettings) -> Canvas:
    """The canvas for images of one grid; with ``like_authors``, the grid is cropped and padded to the authors'.

    BadInput if ``like_authors`` is used with a grid that is not 1 mm, upright and in MNI position.
    """
    grid = next(iter(images.values()))
    if settings.like_authors:
        return _fit_authors(grid)
    if not needs_content(grid):
        return fit_canvas(grid)
    given = rim.content or rim.head
    return fit_canvas(grid, given.data > 0.5 if given is not None else _whole_head(images))


def prepare(
    name: str, volume: Volume, canvas: Canvas, rim: Rim, settings: HarmonizationSettings, seen_from: float
) -> Prepared:
    """The image scaled by its 95th percentile, without background, and its masks.

    ``seen_from`` is the scaled intensity above which a voxel counts as seen.
    """
    values = canvas.place(volume)
    covered = _covered(values, canvas, None if settings.like_authors else rim.coverage.get(name), settings)
    window = np.zeros_like(covered)
    window[authors_window()] = covered[authors_window()]
    scale = upper_percentile(values[window], name)
    values = scaled(values, scale)
    head = _head(values, window, canvas, rim, settings)
    if head is not None:
        values[~head] = 0
    return Prepared(values, _votes(values, head, covered, settings, seen_from), covered, scale)


def _covered(values: Array, canvas: Canvas, coverage: Volume | None, settings: HarmonizationSettings) -> Mask:
    covered = np.zeros(values.shape, bool)
    if settings.like_authors:
        covered[canvas.window] = True
    elif coverage is None:
        covered[canvas.box] = estimated_coverage(values[canvas.box])
    else:
        covered = canvas.place_mask(coverage)
    return covered


def _head(values: Array, window: Mask, canvas: Canvas, rim: Rim, settings: HarmonizationSettings) -> Mask | None:
    exact = settings.like_authors
    head = None if settings.background == "none" else head_mask(values, window, noisy=not exact, may_be_shell=exact)
    if rim.head is None or settings.like_authors:
        return head
    given = canvas.place_mask(rim.head)
    return given if head is None else head & given


def _votes(values: Array, head: Mask | None, covered: Mask, settings: HarmonizationSettings, threshold: float) -> Mask:
    """Where the image has data: above a threshold (the authors' rule), by default with dark fluid inside the head."""
    seen: Mask = values > threshold
    if settings.like_authors:
        return seen
    if threshold <= DARK:
        seen = head if head is not None else binary_fill_holes(seen)
    return seen & covered


def _whole_head(images: Mapping[str, Volume]) -> Mask:
    """The union of the heads in all images; only its largest connected piece, to exclude noise."""
    ones = (image.data / np.abs(image.data).max() for image in images.values())  # squares of larger ones overflow
    heads = [head_mask(one, radius=1, may_be_shell=True) for one in ones]
    return largest_piece(closed(np.logical_or.reduce(heads)))


def _fit_authors(grid: Volume) -> Canvas:
    """Like the authors' program, take an image of their shape as it is stored; place any other by its position."""
    upright = reorient(grid)
    if not np.allclose(grid.zooms_mm, 1, atol=SIZE_TOLERANCE):
        raise _not_for_authors(f"has voxels of {' x '.join(f'{size:.3g}' for size in grid.zooms_mm)} mm")
    if grid.shape == AUTHORS_GRID and np.allclose(upright.affine, grid.affine):
        return replace(fit_canvas(grid), window=authors_window())
    if np.abs(upright.affine[:3, :3] / upright.zooms_mm - np.diag(LPS)).max() > TILT:
        raise _not_for_authors("is not upright")
    canvas = fit_authors(grid)
    shared = np.prod([part.stop - part.start for part in canvas.box])
    if shared < OVERLAP * min(np.prod(grid.shape), np.prod(AUTHORS_GRID)):
        raise _not_for_authors("is not in MNI position")
    return canvas


def unusual_grid(grid: Volume) -> str:
    """How a grid differs from those of training, on which the networks work best; empty if it does not."""
    sizes, upright = grid.zooms_mm, reorient(grid)
    if sizes.max() > LARGEST_MM or sizes.min() < SMALLEST_MM:
        return f"has voxels of {' x '.join(f'{size:.3g}' for size in sizes)} mm"
    if np.abs(upright.affine[:3, :3] / upright.zooms_mm - np.diag(LPS)).max() > LARGEST_TILT:
        return "is not upright"
    return ""


def _not_for_authors(found: str) -> BadInput:
    return BadInput(
        f"The grid {found}; the authors' arithmetic needs an upright grid of 1 mm in MNI position.",
        "Omit --like-authors (--engine authors): the default mode accepts any grid.",
    )


def grid_in_words(volume: Volume) -> str:
    """Shape and origin, for a message."""
    origin = ", ".join(f"{value:.1f}" for value in volume.affine[:3, 3])
    return f"{' x '.join(map(str, volume.shape))} voxels, origin {origin}"


def nonempty(mask_slices: Mask) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """The indices of slices in which a mask (slices, rows, columns) is not empty."""
    return np.flatnonzero(mask_slices.any(axis=(1, 2)))


REFERENCE_SLICES = range(100, 120)  # coronal slices in the middle of the head, which give theta and eta of an image


def representative(indices: np.ndarray[tuple[int], np.dtype[np.intp]]) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """The coronal slices that represent an image: 100 to 119, else the twenty nearest to the middle with data."""
    chosen = indices[np.isin(indices, REFERENCE_SLICES)]
    if chosen.size:
        return chosen
    nearest = np.argsort(np.abs(indices - CANVAS // 2), kind="stable")[: len(REFERENCE_SLICES)]
    return np.sort(indices[nearest])
