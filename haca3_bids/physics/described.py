"""A protocol from words (``MPRAGE:field=3,tr=2300,ti=900,te=2.98,flip=9``) or from a BIDS sidecar.

Missing values are taken from a common protocol of the sequence.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np

from haca3_bids.errors import UsageError
from haca3_bids.physics.protocols import REFERENCE_PROTOCOLS, nulling_ti_ms
from haca3_bids.physics.render import tissue_weights
from haca3_bids.physics.signal import SEQUENCES, Protocol
from haca3_bids.physics.tissues import TISSUES

WORDS = {  # word of a description: field of Protocol
    "field": "field_t", "tr": "tr_ms", "te": "te_ms", "ti": "ti_ms", "flip": "flip_deg", "spacing": "spacing_ms",
    "pulses": "pulses", "train": "train_ms", "stored": "stored",
}  # fmt: skip
LONGEST_MS = 60_000.0
LIMITS = {"flip": (0.0, 180.0), "stored": (0.0, 1.0), "pulses": (1.0, 2000.0)}  # else 0 to LONGEST_MS
MAY_BE_ZERO = ("train", "spacing", "stored")
COMMON = {  # missing values
    "MPRAGE": REFERENCE_PROTOCOLS["T1w"],
    "SPGR": Protocol("T1w", "SPGR", 3.0, 20, 4.6, flip_deg=25),
    "MDEFT": Protocol("T1w", "MDEFT", 3.0, 2200, 2.5, ti_ms=950, flip_deg=16),
    "SE": REFERENCE_PROTOCOLS["T2w"],
    "SPACE": Protocol("T2w", "SPACE", 3.0, 3200, 400, train_ms=700, stored=0.75),
    "FLAIR": REFERENCE_PROTOCOLS["FLAIR"],
}
SPIN_ECHOES = {
    ("T1w", "SE"): Protocol("T1w", "SE", 3.0, 550, 12),
    ("T1w", "FLAIR"): Protocol("T1w", "FLAIR", 3.0, 2000, 20, ti_ms=800, train_ms=80),
    ("PDw", "SE"): REFERENCE_PROTOCOLS["PDw"],
}  # by contrast and sequence; else COMMON
FIELDS_T = (1.5, 3.0)  # field strengths with known tissue values
FIELD_TOLERANCE = 0.15  # relative deviation of a sidecar's field strength from these
LARGEST_FLIP_DEG = 45.0  # of an MPRAGE; larger angles excite a spin echo
SHORT_TR_MS = 200.0  # below this a T1w without inversion is a gradient echo
GRADIENT_ECHO_WORDS = {"GR", "GRE", "SPGR", "GRADIENT", "FLASH"}
SPIN_ECHO_WORDS = {"SE", "TSE", "FSE", "SPIN"}
LONGEST_TE_MS = 200.0  # longer echo times of spin echoes are those of trains with variable flip angles
LONGEST_S = {"EchoTime": 2.0, "RepetitionTime": 30.0, "InversionTime": 10.0}  # longer times are milliseconds
LARGEST = 20.0  # intensity of a tissue, white matter = 1, that a table may have
MS_A_SECOND = 1000.0


def protocol_from_words(contrast: str, sequence: str, text: str) -> Protocol:
    """The protocol ``sequence`` with the numbers of ``text`` (``tr=2300,ti=900``); times in ms, angles in degrees.

    UsageError for an unknown sequence or word, a field strength other than 1.5 or 3, and impossible timing.
    """
    if sequence not in SEQUENCES:
        raise UsageError(f"{sequence} is not a known sequence.", f"Known are {', '.join(SEQUENCES)}.")
    numbers: dict[str, float] = {}
    for part in filter(None, text.split(",")):
        word, _, value = part.partition("=")
        if word not in WORDS:
            raise UsageError(f"'{part}' does not describe a protocol.", f"Use {', '.join(f'{w}=...' for w in WORDS)}.")
        if WORDS[word] in numbers:
            raise UsageError(f"'{text}' contains {word} twice.", "Give each parameter once.")
        numbers[WORDS[word]] = _parameter(word, value)
    return _completed(contrast, sequence, numbers)


def _parameter(word: str, value: str) -> float:
    """The number of one parameter; UsageError if it is none, or no protocol has it."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise UsageError(f"'{word}={value}' contains no number.", "Times are in ms, angles in degrees.")
    low, high = LIMITS.get(word, (0.0, LONGEST_MS))
    if not low <= number <= high or (number == 0 and word not in MAY_BE_ZERO):
        raise UsageError(
            f"{word}={value} is not possible.",
            f"It must be above {low:g}, up to {high:g} (times in ms, angles in degrees).",
        )
    return number


def protocol_from_sidecar(contrast: str, sidecar: Mapping[str, Any]) -> Protocol:
    """The protocol in a BIDS sidecar; UsageError if it does not determine the contrast of the image.

    That is the case if the field strength or a time is missing, or the sequence is ambiguous.
    """
    for key, longest in LONGEST_S.items():
        if (_number(sidecar, key) or 0) > longest:
            raise UsageError(f"{key} in the sidecar of the {contrast} is {sidecar[key]:g}.", "BIDS requires seconds.")
    numbers = {
        "field_t": _number(sidecar, "MagneticFieldStrength"),
        "tr_ms": _number(sidecar, "RepetitionTime", MS_A_SECOND),
        "te_ms": _number(sidecar, "EchoTime", MS_A_SECOND),
        "ti_ms": _number(sidecar, "InversionTime", MS_A_SECOND),
        "flip_deg": _number(sidecar, "FlipAngle"),
    }
    needed = {"field_t": "MagneticFieldStrength", "tr_ms": "RepetitionTime", "te_ms": "EchoTime"}
    missing = [name for key, name in needed.items() if numbers[key] is None]
    if contrast == "FLAIR" and numbers["ti_ms"] is None:
        missing.append("InversionTime")
    if missing:
        raise UsageError(f"The sidecar of the {contrast} does not contain {', '.join(missing)} as a positive number.")
    found = {key: value for key, value in numbers.items() if value is not None}
    found["field_t"] = _known_field(contrast, found["field_t"])
    sequence = _sequence(contrast, found, _kinds(sidecar))
    if sequence in ("SE", "FLAIR"):
        found.pop("flip_deg", None)
    return _completed(contrast, sequence, found)


def table(protocol: Protocol) -> tuple[float, ...]:
    """Intensities of all tissues of the average person under a protocol, white matter = 1.

    UsageError if one of them is no intensity of an image, because white matter has no signal.
    """
    found = tissue_weights(protocol, np.zeros((3, len(TISSUES)), np.float32))[0]
    if not (np.isfinite(found).all() and found.min() >= 0 and found.max() <= LARGEST):
        raise UsageError(
            f"The protocol {protocol.sequence} with {_said(protocol)} leaves white matter without signal.",
            "Check TR, TI and TE (ms).",
        )
    return tuple(found.tolist())


def _known_field(contrast: str, field_t: float) -> float:
    """The field strength with tissue values that a sidecar states; scanners of 3 T have 2.89 T, for example."""
    nearest = min(FIELDS_T, key=lambda known: abs(known - field_t))
    if abs(field_t - nearest) > FIELD_TOLERANCE * nearest:
        raise UsageError(
            f"MagneticFieldStrength in the sidecar of the {contrast} is {field_t:g}; there are tissue values for 1.5 "
            "and 3 T only.",
            "Give an image of this protocol. If the number is wrong, correct it; BIDS requires tesla.",
        )
    return nearest


def _number(sidecar: Mapping[str, Any], key: str, factor: float = 1.0) -> float | None:
    value = sidecar.get(key)
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
    return float(value) * factor if usable else None  # type: ignore[arg-type]


def _kinds(sidecar: Mapping[str, Any]) -> set[str]:
    """The words in which a sidecar describes its sequence, such as GR, SE, IR, MP and SPGR."""
    keys = ("ScanningSequence", "SequenceVariant", "PulseSequenceType")
    return {word.upper() for key in keys for word in re.findall(r"[A-Za-z]+", str(sidecar.get(key, "")))}


def _sequence(contrast: str, numbers: Mapping[str, float], kinds: set[str]) -> str:
    """The sequence; UsageError where times and ``kinds`` allow several."""
    if contrast != "T1w":
        if numbers["te_ms"] > LONGEST_TE_MS:
            raise UsageError(
                f"The contrast of the {contrast} does not follow from its sidecar: an echo time of "
                f"{numbers['te_ms']:g} ms is that of an echo train with variable flip angles.",
                "Give an image of this protocol.",
            )
        return "FLAIR" if contrast == "FLAIR" or ("ti_ms" in numbers and "IR" in kinds) else "SE"
    if "ti_ms" in numbers:
        return _inverted(contrast, numbers, kinds)
    if numbers["tr_ms"] < SHORT_TR_MS and kinds & GRADIENT_ECHO_WORDS and not kinds & {"MP", "IR"}:
        return "SPGR"
    if numbers["tr_ms"] >= SHORT_TR_MS and kinds & SPIN_ECHO_WORDS and "IR" not in kinds:
        return "SE"
    raise UsageError(
        f"The contrast of the {contrast} does not follow from its sidecar, which has no InversionTime.",
        "It needs the InversionTime, or a ScanningSequence and SequenceVariant without magnetization preparation.",
    )


def _inverted(contrast: str, numbers: Mapping[str, float], kinds: set[str]) -> str:
    """The sequence of a T1w with an inversion: gradient echoes (MPRAGE) or spin echoes, whose equation is FLAIR's."""
    gradient, spin = kinds & GRADIENT_ECHO_WORDS, kinds & SPIN_ECHO_WORDS
    if spin and not gradient:
        return "FLAIR"
    if spin or numbers.get("flip_deg", 0.0) > LARGEST_FLIP_DEG:
        raise UsageError(
            f"The contrast of the {contrast} does not follow from its sidecar, which does not say whether gradient "
            "echoes or spin echoes follow the inversion.",
            "It needs a ScanningSequence of GR or SE, and a FlipAngle that agrees with it.",
        )
    return "MPRAGE"


def _completed(contrast: str, sequence: str, numbers: Mapping[str, float]) -> Protocol:
    common = SPIN_ECHOES.get((contrast, sequence)) or replace(COMMON[sequence], contrast=contrast)
    given = {one.name: numbers[one.name] for one in fields(Protocol) if one.name in numbers}
    protocol = replace(common, **given)  # type: ignore[arg-type]
    if protocol.field_t not in FIELDS_T:
        raise UsageError(f"There are no tissue values for {protocol.field_t:g} T.", "Use field=1.5 or field=3.")
    if sequence == "FLAIR" and "ti_ms" not in numbers:
        protocol = replace(protocol, ti_ms=nulling_ti_ms(protocol.field_t, protocol.tr_ms - protocol.train_ms))
    if not protocol.possible:
        raise UsageError(
            f"The protocol {sequence} with {_said(protocol)} has no time for all its parts.",
            "Check TR, TI and TE (ms); for an MPRAGE, TR is from one inversion to the next.",
        )
    return protocol


def _said(protocol: Protocol) -> str:
    return ", ".join(f"{word}={getattr(protocol, name):g}" for word, name in WORDS.items() if getattr(protocol, name))
