"""Charts of a longitudinal measurement: every subject over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from haca3_bids.reports.charts import COLOURS, panels, svg

Course = tuple[Sequence[str], Sequence[float], Sequence[float]]  # subjects, times and values of all sessions


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
