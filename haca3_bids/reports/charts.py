"""Charts of the findings of an experiment."""

import io
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from numpy.typing import NDArray

from haca3_bids.reports.planes import cut, white_end
from haca3_bids.volumes.volume import Volume

PAPER = "#ffffff"
COLOURS = ("#0b7285", "#d9480f", "#7048a8", "#5c940d", "#1971c2", "#a61e4d", "#495057", "#e67700", "#2b8a3e")
STYLES = ("-", "--", ":")  # when there are more lines than colours
LEAST_SHARE = 0.01  # of the highest bin: lower ones are not shown at the ends of histograms
SLICE_INCH, NAME_INCH = 2.0, 0.3
LEAST_COLUMNS = 3  # of slices: pages show figures over their whole width
PANEL_INCH = (3.6, 2.9)
HEAD_AXIAL_MM = 12.0  # position in the template's frame of the axial slice that is shown of heads

Points = Mapping[str, Sequence[float | None]]  # name -> one value for each person; None where there is none
Course = tuple[Sequence[str], Sequence[float], Sequence[float]]  # subjects, times and values of all sessions
Estimates = Mapping[str, tuple[float, float, float]]  # name -> estimate, low, high


def panels(titles: Sequence[str], label: str, columns: int = 2) -> tuple[Figure, list[Axes]]:
    """A figure of ``columns`` columns, with empty axes for each title and ``label`` on their vertical axes."""
    rows = -(-len(titles) // columns)
    figure = Figure((PANEL_INCH[0] * columns, PANEL_INCH[1] * rows), facecolor=PAPER, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for one, title in zip(axes, titles, strict=False):
        one.set_title(title, fontsize=10)
        one.set_ylabel(label, fontsize=9)
        one.tick_params(labelsize=8)
        one.spines[["top", "right"]].set_visible(False)
    for one in axes[len(titles) :]:
        one.set_visible(False)
    return figure, list(axes[: len(titles)])


def dots(axes: Axes, points: Points) -> None:
    """Draw a column of dots for each name, one per person; dots of a person are joined, bars mark medians."""
    values = np.array([[np.nan if v is None else v for v in own] for own in points.values()], np.float64)
    places = np.arange(len(values))
    axes.plot(places, values, color="#ced4da", linewidth=0.7, zorder=1)
    for place, own in zip(places, values, strict=True):
        colour = COLOURS[place % len(COLOURS)]
        axes.scatter(np.full(own.shape, place), own, s=16, color=colour, zorder=2)
        if np.isfinite(own).any():
            axes.hlines(np.nanmedian(own), place - 0.25, place + 0.25, color=colour, linewidth=2, zorder=3)
    axes.set_xlim(-0.5, len(values) - 0.5)
    axes.set_xticks(places, list(points), rotation=35, ha="right")


def lines(axes: Axes, across: Sequence[float | str], curves: Points, xlabel: str = "") -> None:
    """Draw a line with markers for each name over ``across``."""
    for index, (name, values) in enumerate(curves.items()):
        shown = [np.nan if value is None else value for value in values]
        axes.plot(across, shown, marker="o", markersize=4, label=name, color=COLOURS[index % len(COLOURS)])
    axes.set_xlabel(xlabel, fontsize=9)
    axes.legend(frameon=False, fontsize=8)


def histograms(
    data: Mapping[tuple[str, str], Mapping[str, NDArray[np.float64]]],
    edges: NDArray[np.float64],
    xlabel: str,
    label: str,
    legend: str = "",
) -> bytes:
    """An SVG with a panel for each (contrast, method), and in it the outline of a histogram for each name.

    The panels of a contrast have the same limits, which leave out bins with hardly any counts.
    """
    figure, axes = panels([", ".join(names) for names in data], label)
    for panel, ((contrast, _), curves) in zip(axes, data.items(), strict=True):
        highest = np.max([shown for (one, _), own in data.items() if one == contrast for shown in own.values()], axis=0)
        for index, (name, shares) in enumerate(curves.items()):
            colour, style = COLOURS[index % len(COLOURS)], STYLES[index // len(COLOURS) % len(STYLES)]
            panel.stairs(shares, edges, label=name, linewidth=1.5, baseline=None, color=colour, linestyle=style)
        (filled,) = np.nonzero(highest > LEAST_SHARE * highest.max())
        if len(filled):
            panel.set_xlim(edges[filled[0]], edges[filled[-1] + 1])
            panel.set_ylim(0, 1.05 * highest.max())
        panel.set_xlabel(xlabel, fontsize=9)
        panel.legend(frameon=False, fontsize=8, title=legend, title_fontsize=8)
    return svg(figure)


def courses(data: Mapping[tuple[str, str], Course], time: str, unit: str = "") -> bytes:
    """An SVG with a panel for each (measurement, method) and a line for each subject."""
    figure, axes = panels([f"{name}, {method}" if method else name for name, method in data], unit)
    for panel, course in zip(axes, data.values(), strict=True):
        for number, subject in enumerate(dict.fromkeys(course[0])):
            own = np.array(sorted((at, value) for one, at, value in zip(*course, strict=True) if one == subject))
            panel.plot(*own.T, marker="o", markersize=3, linewidth=0.9, color=COLOURS[number % len(COLOURS)])
        panel.set_xlabel(time, fontsize=9)
    for name in dict.fromkeys(name for name, _ in data):
        _same_limits([panel for panel, (own, _) in zip(axes, data, strict=True) if own == name])
    return svg(figure)


def _same_limits(axes: Sequence[Axes]) -> None:
    limits = np.array([panel.get_ylim() for panel in axes])
    for panel in axes:
        panel.set_ylim(limits[:, 0].min(), limits[:, 1].max())


def intervals(
    data: Mapping[str, Estimates],
    label: str,
    *,
    limits: tuple[float | None, float | None] = (None, None),
    line: float | None = None,
) -> bytes:
    """An SVG with one panel for each title: a dot with a bar for each estimate, and a dashed line at ``line``."""
    figure, axes = panels(list(data), label)
    if len(data) == 1:
        figure.set_size_inches(2 * PANEL_INCH[0], PANEL_INCH[1])
    for panel, estimates in zip(axes, data.values(), strict=True):
        for place, (value, low, high) in enumerate(estimates.values()):
            colour = COLOURS[place % len(COLOURS)]
            panel.vlines(place, low, high, color=colour, linewidth=2)
            panel.scatter([place], [value], s=28, color=colour, zorder=2)
        if line is not None:
            panel.axhline(line, color="#868e96", linewidth=0.8, linestyle="--")
        panel.set_ylim(*limits)
        panel.set_xlim(-0.5, len(estimates) - 0.5)
        panel.set_xticks(range(len(estimates)), list(estimates))
        if len(estimates) > 4 or any(len(name) > 12 for name in estimates):
            panel.tick_params(axis="x", labelrotation=35)
            for text in panel.get_xticklabels():
                text.set_horizontalalignment("right")
    return svg(figure)


def slices(
    images: Mapping[str, Volume],
    axial_mm: float | None = None,
    columns: int = 5,
    white: Mapping[str, float] | None = None,
) -> Figure:
    """A figure with the same axial slice of every image, by default the middle slice of the first.

    ``white`` overrides the intensity shown as white, by name.
    """
    if axial_mm is None:
        first = next(iter(images.values()))
        axial_mm = float((first.affine @ [*(np.array(first.shape) - 1) / 2, 1])[2])
    ends = {name: white_end(image) for name, image in images.items()} | dict(white or {})
    pictures = {name: cut(image, "axial", axial_mm) for name, image in images.items()}
    columns = min(columns, max(len(pictures), LEAST_COLUMNS))
    rows = -(-len(pictures) // columns)
    wide, high = max(p.width_mm for p in pictures.values()), max(p.height_mm for p in pictures.values())
    tile = SLICE_INCH * high / wide + NAME_INCH
    figure = Figure((SLICE_INCH * columns, tile * rows), facecolor="black")
    for index, (name, picture) in enumerate(pictures.items()):
        row, column = divmod(index, columns)
        box = (column / columns, 1 - (row + 1) / rows, 1 / columns, (1 - NAME_INCH / tile) / rows)
        axes = figure.add_axes(box)
        extent = (0.0, picture.width_mm, 0.0, picture.height_mm)
        axes.imshow(picture.pixels, cmap="gray", vmin=0, vmax=ends[name], origin="lower", extent=extent)
        axes.set_title(name, color="#ced4da", fontsize=9, pad=4)
        axes.set_axis_off()
    return figure


def svg(figure: Figure) -> bytes:
    """The figure as the bytes of a reproducible SVG file."""
    file = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "haca3_bids", "svg.image_inline": True}):
        FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None, "Creator": None})
    return file.getvalue()
