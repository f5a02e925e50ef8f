"""The MR properties of the tissues of a head: T1, T2, T2* and proton density at 1.5 T and 3 T.

Sources of the means: Stanisz et al., MRM 54:507 (2005); Wansapura et al., JMRI 9:531 (1999); de Bazelaire et al.,
Radiology 230:652 (2004); Collins et al., IEEE TMI 17:463 (1998, BrainWeb). Those of bone, skin, dura and flowing blood
are effective values for echo times of some milliseconds.
"""

from dataclasses import dataclass

import numpy as np

from haca3_bids.arrays import Array

TISSUES = (
    "csf", "grey", "deep_grey", "white", "fat", "muscle", "skin", "bone", "marrow", "vessel", "dura", "eye", "lesion",
)  # fmt: skip
BRAIN = ("csf", "grey", "deep_grey", "white", "lesion")
WHITE, GREY, LESION = (TISSUES.index(name) for name in ("white", "grey", "lesion"))
IN_BRAIN = np.array([name in BRAIN for name in TISSUES])
FATTY = np.array([name in ("fat", "marrow") for name in TISSUES])  # dark if fat is suppressed

_MEANS = {  # tissue: T1 at 1.5 T, at 3 T, T2 at 1.5 T, at 3 T, T2* at 3 T (all ms), proton density (CSF = 1)
    "csf": (4000, 4200, 2000, 1800, 500, 1.00),
    "grey": (1080, 1400, 100, 92, 52, 0.83),
    "deep_grey": (950, 1200, 88, 77, 42, 0.80),
    "white": (650, 850, 80, 72, 50, 0.70),
    "fat": (290, 380, 120, 110, 20, 0.72),
    "muscle": (950, 1300, 45, 40, 26, 0.78),
    "skin": (700, 900, 40, 35, 15, 0.70),
    "bone": (260, 300, 5, 4, 1, 0.12),
    "marrow": (400, 520, 85, 70, 14, 0.60),
    "vessel": (1450, 1800, 150, 110, 40, 0.30),
    "dura": (900, 1100, 38, 33, 16, 0.60),
    "eye": (3600, 4000, 1200, 1000, 400, 1.00),
    "lesion": (1000, 1300, 145, 130, 80, 0.87),
}
SPREAD_BETWEEN_PEOPLE = 0.05  # standard deviation of ln T1, ln T2; proton density varies half as much
SPREAD_WITHIN_TISSUE = 0.04  # likewise between the places of one tissue


@dataclass(frozen=True)
class TissueTable:
    """T1, T2, T2* (ms) and proton density of TISSUES in one person at one field strength, each of shape (tissues,)."""

    t1_ms: Array
    t2_ms: Array
    t2star_ms: Array
    pd: Array


def mean_tissues(field_t: float) -> TissueTable:
    """The population's means at 1.5 T or 3 T."""
    if field_t not in (1.5, 3.0):
        raise ValueError(f"no tissue values for {field_t} T; 1.5 and 3.0 are known")
    table = np.array([_MEANS[name] for name in TISSUES], np.float32)
    high = field_t == 3.0
    t2star_ms = table[:, 4] * (1.0 if high else 1.3)  # susceptibility grows with the field
    return TissueTable(table[:, 1 if high else 0], table[:, 3 if high else 2], t2star_ms, table[:, 5])


def person_deviations(rng: np.random.Generator) -> Array:
    """Random deviations of one person's tissues: logarithms of T1, T2 and PD relative to the means, (3, tissues)."""
    spread = SPREAD_BETWEEN_PEOPLE * np.array([[1.0], [1.0], [0.5]])
    return rng.normal(0.0, spread, (3, len(TISSUES))).astype(np.float32)


def deviate(tissues: TissueTable, deviations: Array) -> TissueTable:
    """The table with every value multiplied by exp(deviations); deviations as from ``person_deviations``."""
    t1, t2, pd = np.exp(deviations)
    return TissueTable(tissues.t1_ms * t1, tissues.t2_ms * t2, tissues.t2star_ms * t2, tissues.pd * pd)
