"""Charts of estimates and their intervals."""

from __future__ import annotations

from collections.abc import Mapping

from haca3_bids.reports.charts import COLOURS, PANEL_INCH, panels, svg

Estimates = Mapping[str, tuple[float, float, float]]  # name -> estimate, low, high


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
