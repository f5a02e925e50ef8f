"""Does an image look like the contrast that its name says? Told from grey matter and fluid relative to white matter."""

from __future__ import annotations

import math
from collections.abc import Mapping

# Natural logarithms of grey and of ventricular fluid relative to the white-matter peak: means over the clean scans of
# ``benchmarks/planted_trouble.py``.
TYPICAL: Mapping[str, tuple[float, float]] = {
    "T1w": (-0.40, -1.00),
    "T2w": (0.35, 0.90),
    "PDw": (0.20, 0.25),
    "FLAIR": (0.10, -1.00),
}
GREY_WEIGHT = 2.0  # grey matter differs less between contrasts than fluid does, and more reliably
DARKEST = 0.1  # of white matter: fluid that a FLAIR nulls is as dark as noise, however dark


def distances(grey_to_white: float, fluid_to_white: float) -> dict[str, float]:
    """How far an image is from the typical one of each contrast."""
    grey, fluid = math.log(max(grey_to_white, DARKEST)), math.log(max(fluid_to_white, DARKEST))
    return {
        contrast: math.hypot(GREY_WEIGHT * (grey - typical[0]), fluid - typical[1])
        for contrast, typical in TYPICAL.items()
    }


def likely_contrast(grey_to_white: float, fluid_to_white: float) -> str:
    """The contrast whose typical image is nearest."""
    found = distances(grey_to_white, fluid_to_white)
    return min(found, key=lambda contrast: found[contrast])


def name_margin(contrast: str, grey_to_white: float, fluid_to_white: float) -> float:
    """How much nearer the named contrast is than the nearest other one; negative: the name seems to be wrong."""
    found = distances(grey_to_white, fluid_to_white)
    return min(value for name, value in found.items() if name != contrast) - found[contrast]
