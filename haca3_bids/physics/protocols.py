"""Sites: a protocol for each contrast, drawn from the ranges published by clinics and studies."""

import math

import numpy as np

from haca3_bids.physics.signal import Protocol
from haca3_bids.physics.tissues import TISSUES, mean_tissues

Range = tuple[float, float]

# contrast: families as (share, sequence, ranges); T1w 3D MPRAGE and SPGR, 2D spin echo; the others turbo spin echo.
# Ranges span ADNI, OASIS, IXI, HCP, UK Biobank and routine MS protocols.
FAMILIES: dict[str, tuple[tuple[float, str, dict[str, Range]], ...]] = {
    "T1w": (
        (0.6, "MPRAGE", {"tr_ms": (1700, 2700), "ti_ms": (780, 1150), "flip_deg": (7, 12), "te_ms": (2, 4.5),
                         "spacing_ms": (5.5, 8.5), "pulses": (144, 208)}),
        (0.25, "SPGR", {"tr_ms": (7, 28), "te_ms": (2, 8), "flip_deg": (12, 32)}),
        (0.15, "SE", {"tr_ms": (420, 750), "te_ms": (8, 20)}),
    ),
    "T2w": ((1.0, "SE", {"tr_ms": (2800, 8500), "te_ms": (75, 125), "train_ms": (80, 250)}),),
    "PDw": ((1.0, "SE", {"tr_ms": (2200, 6000), "te_ms": (8, 32), "train_ms": (30, 120)}),),
    "FLAIR": ((1.0, "FLAIR", {"tr_ms": (6000, 11000), "te_ms": (85, 150), "train_ms": (100, 400)}),),
}  # fmt: skip
# Never drawn by ``draw_site``: sequences with other equations, reserved for tests on protocols unseen in training.
HELD_OUT_FAMILIES: dict[str, tuple[tuple[float, str, dict[str, Range]], ...]] = {
    "T1w": ((1.0, "MDEFT", {"tr_ms": (1800, 2600), "ti_ms": (800, 1100), "flip_deg": (12, 20), "te_ms": (2, 3.5)}),),
    "T2w": ((1.0, "SPACE", {"tr_ms": (2800, 4000), "te_ms": (280, 565), "train_ms": (600, 900),
                            "stored": (0.6, 0.85)}),),
}  # fmt: skip
HELD_OUT_SEED, HELD_OUT_SITES, OTHER_SEQUENCES = 20231122, 8, 2  # the last two sites use HELD_OUT_FAMILIES
CSF_NULLING = (0.94, 1.04)  # a FLAIR's inversion time, relative to the one that nulls CSF

REFERENCE_PROTOCOLS = {  # the contrasts of the built-in targets: common protocols at 3 T
    "T1w": Protocol("T1w", "MPRAGE", 3.0, 2300, 2.9, ti_ms=900, flip_deg=9, spacing_ms=7.1, pulses=176),
    "T2w": Protocol("T2w", "SE", 3.0, 5000, 95, train_ms=150),
    "PDw": Protocol("PDw", "SE", 3.0, 3500, 15, train_ms=60),
    "FLAIR": Protocol("FLAIR", "FLAIR", 3.0, 9000, 120, ti_ms=2430, train_ms=200),
}


def draw_protocol(contrast: str, field_t: float, rng: np.random.Generator, *, held_out: bool = False) -> Protocol:
    """One site's protocol of a contrast: a family by its share, then every number uniformly from its range.

    Drawn again where an inversion and its train would not fit into the repetition (one MPRAGE in forty).
    """
    while not (drawn := _draw_protocol(contrast, field_t, rng, held_out)).possible:
        pass
    return drawn


def _draw_protocol(contrast: str, field_t: float, rng: np.random.Generator, held_out: bool) -> Protocol:
    families = HELD_OUT_FAMILIES.get(contrast, FAMILIES[contrast]) if held_out else FAMILIES[contrast]
    shares = np.array([share for share, *_ in families])
    _, sequence, ranges = families[rng.choice(len(families), p=shares / shares.sum())]
    values = {name: float(rng.uniform(*ends)) for name, ends in ranges.items()}
    if "pulses" in values:
        values["pulses"] = round(values["pulses"])
    if sequence == "FLAIR":
        values["ti_ms"] = nulling_ti_ms(field_t, values["tr_ms"] - values["train_ms"]) * rng.uniform(*CSF_NULLING)
    return Protocol(contrast, sequence, field_t, **values)  # type: ignore[arg-type]


def nulling_ti_ms(field_t: float, tr_ms: float) -> float:
    """The inversion time at which CSF gives no signal (from the equation of ``signal.flair``)."""
    t1 = float(mean_tissues(field_t).t1_ms[TISSUES.index("csf")])
    return t1 * math.log(2 / (1 + math.exp(-tr_ms / t1)))


def draw_site(rng: np.random.Generator, contrasts: tuple[str, ...] = tuple(FAMILIES)) -> dict[str, Protocol]:
    """A scanner of 1.5 T (two in five) or 3 T with a protocol for every contrast."""
    field_t = 1.5 if rng.uniform() < 0.4 else 3.0
    return {contrast: draw_protocol(contrast, field_t, rng) for contrast in contrasts}


def held_out_sites() -> list[dict[str, Protocol]]:
    """The eight sites of the test set, always the same; T1w and T2w of the last two use HELD_OUT_FAMILIES.

    Field strengths alternate, so that each occurs with both kinds of sequences.
    """
    rng = np.random.default_rng(HELD_OUT_SEED)
    sites = []
    for number in range(HELD_OUT_SITES):
        field_t, other = (3.0, 1.5)[number % 2], number >= HELD_OUT_SITES - OTHER_SEQUENCES
        sites.append({contrast: draw_protocol(contrast, field_t, rng, held_out=other) for contrast in FAMILIES})
    return sites
