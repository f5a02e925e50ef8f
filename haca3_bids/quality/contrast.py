"""Whether an image has the contrast that its name claims, from grey matter and fluid relative to white matter.

With the mixture model the intensities of all tissues of an image are known (theta, a table in the order of TISSUES).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from haca3_bids.physics.tissues import TISSUES

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
LOG_FLOOR = 0.05  # of white matter, added before logarithms of tables are taken, as the mixture model itself does


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


def is_table(theta: Sequence[float]) -> bool:
    """Whether theta holds the intensities of TISSUES (mixture model) rather than the two numbers of HACA3."""
    return len(theta) == len(TISSUES)


def contrast_vector(theta: Sequence[float]) -> list[float]:
    """Theta as a point whose distances mean something: logarithms of a table, the numbers themselves of HACA3."""
    if not is_table(theta):
        return [float(value) for value in theta]
    return [math.log(max(float(value), 0.0) + LOG_FLOOR) for value in theta]


def name_doubt(contrast: str, looks_like: str | None, theta: Sequence[float] | None) -> float | None:
    """How much nearer another contrast is than the named one, by a table's grey matter and fluid.

    0 where the table as a whole looks like the named contrast: only where both disagree is the name doubted. None
    where theta is no table.
    """
    if not looks_like or not theta or not is_table(theta) or contrast not in TYPICAL:
        return None
    if looks_like == contrast:
        return 0.0
    grey, fluid = (float(theta[TISSUES.index(tissue)]) for tissue in ("grey", "csf"))
    return max(0.0, -name_margin(contrast, grey, fluid))
