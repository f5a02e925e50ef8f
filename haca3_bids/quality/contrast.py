"""Check of an image's contrast against its name, from grey matter and fluid relative to white matter.

The mixture model estimates the intensities of all tissues (theta, a table in the order of TISSUES).
"""

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
DARKEST = 0.1  # of white matter: darker fluid, as nulled in FLAIR, shows noise
LOG_FLOOR = 0.05  # of white matter, added before taking logarithms, as in the mixture model


def distances(grey_to_white: float, fluid_to_white: float) -> dict[str, float]:
    """The distance of an image from the typical image of each contrast."""
    grey, fluid = math.log(max(grey_to_white, DARKEST)), math.log(max(fluid_to_white, DARKEST))
    return {
        contrast: math.hypot(GREY_WEIGHT * (grey - typical[0]), fluid - typical[1])
        for contrast, typical in TYPICAL.items()
    }


def likely_contrast(grey_to_white: float, fluid_to_white: float) -> str:
    """The contrast with the nearest typical image."""
    found = distances(grey_to_white, fluid_to_white)
    return min(found, key=lambda contrast: found[contrast])


def name_margin(contrast: str, grey_to_white: float, fluid_to_white: float) -> float:
    """Distance to the nearest other contrast minus that to the named one; negative if the name may be wrong."""
    found = distances(grey_to_white, fluid_to_white)
    return min(value for name, value in found.items() if name != contrast) - found[contrast]


def is_table(theta: Sequence[float]) -> bool:
    """Whether theta holds the intensities of TISSUES (mixture model) rather than the two numbers of HACA3."""
    return len(theta) == len(TISSUES)


def contrast_vector(theta: Sequence[float]) -> list[float]:
    """Theta as a vector for Euclidean distances: logarithms of a table, or the two numbers of HACA3."""
    if not is_table(theta):
        return [float(value) for value in theta]
    return [math.log(max(float(value), 0.0) + LOG_FLOOR) for value in theta]


def name_doubt(contrast: str, looks_like: str | None, theta: Sequence[float] | None) -> float | None:
    """The negative of ``name_margin`` for a table, but not below 0; None if theta is not a table.

    It is also 0 if the table as a whole looks like the named contrast.
    """
    if not looks_like or not theta or not is_table(theta) or contrast not in TYPICAL:
        return None
    if looks_like == contrast:
        return 0.0
    grey, fluid = (float(theta[TISSUES.index(tissue)]) for tissue in ("grey", "csf"))
    return max(0.0, -name_margin(contrast, grey, fluid))
