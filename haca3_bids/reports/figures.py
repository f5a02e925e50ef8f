"""Figures of one session, as SVG files."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from haca3_bids.arrays import Array
from haca3_bids.reports.charts import PAPER, svg
from haca3_bids.reports.pixels import save
from haca3_bids.reports.planes import Picture, cut, white_end, white_of_brain
from haca3_bids.volumes.volume import Volume

REGISTRATION_CUTS_MM = {"sagittal": (-36, -12, 12, 36), "coronal": (-60, -30, 0, 30), "axial": (-20, 4, 28, 52)}
INCH_PER_MM = 0.0115  # of a picture in a figure
LABEL_INCH = 0.3  # the strip above a row in which its name stands
ACCENT, SECOND = "#0b7285", "#d9480f"
CONTOUR = "#ffd43b"


@dataclass(frozen=True)
class Row:
    """Pictures side by side under one name; ``masks`` are outlined."""

    name: str
    pictures: Sequence[Picture]
    white: float
    masks: Sequence[Picture | None]


def draw_registration(image: Volume, template_brain: Volume, path: str | os.PathLike[str]) -> None:
    """Write the registered image with the outline of the template's brain, in four slices along each axis."""
    white = white_of_brain(image, template_brain)
    rows = [
        Row(
            plane,
            [cut(image, plane, position) for position in positions],
            white,
            [cut(template_brain, plane, position) for position in positions],
        )
        for plane, positions in REGISTRATION_CUTS_MM.items()
    ]
    save(svg(_mosaic(rows)), Path(path))


def draw_histogram(image: Volume, mask: Volume, peak: float, path: str | os.PathLike[str]) -> None:
    """Write histograms of the image (positive voxels) and inside the white-matter ``mask``, with the peak."""
    figure = Figure(figsize=(7.2, 2.6), facecolor=PAPER, layout="constrained")
    axes = figure.add_subplot()
    positive = image.data[image.data > 0]
    top = max(white_end(image), 1.6 * peak)
    bins = np.linspace(0, top, 161)
    _density(axes, positive, bins, "#adb5bd", "image")
    _density(axes, image.data[mask.data > 0.5], bins, ACCENT, "white-matter core")
    axes.axvline(peak, color=SECOND, linewidth=1.5, label=f"peak {peak:.0f}")
    axes.set(xlim=(0, top), yticks=[], xlabel="intensity")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    save(svg(figure), Path(path))


def _mosaic(rows: Sequence[Row]) -> Figure:
    """A figure of rows of pictures at the same scale on black, with the name of each row above it."""
    widths = [sum(p.width_mm for p in row.pictures) * INCH_PER_MM for row in rows]
    heights = [max(p.height_mm for p in row.pictures) * INCH_PER_MM + LABEL_INCH for row in rows]
    width = max(widths)
    height = top = sum(heights)
    figure = Figure(figsize=(width, height), facecolor="black")
    for row, row_width, row_height in zip(rows, widths, heights, strict=True):
        figure.text(0.08 / width, (top - 0.17) / height, row.name, color="#ced4da", fontsize=9, va="center")
        _place_row(figure, row, left=(width - row_width) / 2, bottom=top - row_height)
        top -= row_height
    return figure


def _place_row(figure: Figure, row: Row, left: float, bottom: float) -> None:
    width, height = figure.get_size_inches()
    tallest = max(picture.height_mm for picture in row.pictures)
    for picture, mask in zip(row.pictures, row.masks, strict=True):
        wide, high = picture.width_mm * INCH_PER_MM, picture.height_mm * INCH_PER_MM
        middle = bottom + (tallest - picture.height_mm) / 2 * INCH_PER_MM
        axes = figure.add_axes((left / width, middle / height, wide / width, high / height))
        _show(axes, picture, row.white, mask)
        left += wide


def _show(axes: Axes, picture: Picture, white: float, mask: Picture | None) -> None:
    extent = (0.0, picture.width_mm, 0.0, picture.height_mm)
    axes.imshow(picture.pixels, cmap="gray", vmin=0, vmax=white, origin="lower", extent=extent, interpolation="none")
    if mask is not None and mask.pixels.min() < 0.5 < mask.pixels.max():
        axes.contour(mask.pixels, levels=[0.5], colors=CONTOUR, linewidths=0.8, origin="lower", extent=extent)
    if picture.plane != "sagittal":
        for name, place in (("L", 0.02), ("R", 0.98)):
            side = "left" if name == "L" else "right"
            axes.text(place, 0.02, name, color="#ced4da", fontsize=8, ha=side, transform=axes.transAxes)
    axes.set_axis_off()


def _density(axes: Axes, values: Array, bins: NDArray[np.float64], colour: str, label: str) -> None:
    """A filled histogram scaled to a height of one, so that masks of different sizes can be compared."""
    counts, _ = np.histogram(values, bins)
    axes.stairs(counts / max(counts.max(), 1), bins, fill=True, color=colour, alpha=0.55, label=label)
