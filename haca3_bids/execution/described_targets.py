"""Targets without an image: theta as numbers, tissue intensities, or a protocol."""

from pathlib import Path

from haca3_bids.bids.names import check_target_name
from haca3_bids.errors import BadInput, UsageError
from haca3_bids.physics.described import LARGEST, protocol_from_sidecar, protocol_from_words, table
from haca3_bids.physics.signal import Protocol
from haca3_bids.physics.tissues import TISSUES
from haca3_bids.records.engine import Weights
from haca3_bids.records.files import from_json
from haca3_bids.records.target import CLEAN, CLEAN_ETA, Target
from haca3_bids.settings import WHITE_MATTER_PEAK

MIXTURE = "mixture"


def from_numbers(name: str, value: str, typed: str, weights: Weights) -> Target:
    """``T1w:theta0,theta1[,eta0,eta1]`` (HACA3 weights) or ``T1w:grey=0.75,csf=0.2`` (mixture model)."""
    contrast, _, text = value.partition(":")
    if "=" in text:
        return _from_tissues(name, contrast, text, typed, weights)
    if weights.variant == MIXTURE:
        raise UsageError(
            f"--target {typed} specifies theta as numbers, which is possible with HACA3 weights only; theta of "
            f"{weights.name} is a table of tissue intensities.",
            "Give intensities of tissues (T1w:grey=0.75,csf=0.2), a protocol, an image, or --weights haca3.",
        )
    try:
        numbers = [float(word) for word in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 4):
        raise UsageError(f"--target {typed} requires two numbers (theta) or four (theta, eta) after '{contrast}:'.")
    return Target(name, contrast, tuple(numbers[:2]), tuple(numbers[2:]) or CLEAN_ETA, WHITE_MATTER_PEAK, "numbers")


def from_protocol(name: str, contrast: str, described: str, typed: str, weights: Weights) -> Target:
    """``T1w=MPRAGE:field=3,tr=2300,ti=900`` or ``T1w=sidecar.json``: tissue intensities by the signal equation."""
    _need_mixture(typed, weights)
    sequence, _, numbers = described.partition(":")
    if described.endswith(".json"):
        path = Path(described).expanduser()
        protocol = protocol_from_sidecar(contrast, _read(path))
        made = path.name.partition(".")[0]
    else:
        protocol = protocol_from_words(contrast, sequence, numbers)
        made = sequence
    label = check_target_name(name or "".join(letter for letter in made if letter.isalnum()))
    return Target(label, contrast, table(protocol), CLEAN, WHITE_MATTER_PEAK, f"protocol {_in_words(protocol)}")


def _from_tissues(name: str, contrast: str, text: str, typed: str, weights: Weights) -> Target:
    """The built-in reference of the contrast with the given intensities of some tissues."""
    _need_mixture(typed, weights)
    if contrast not in weights.references:
        raise UsageError(f"--target {typed}: the weights {weights.name} have no reference for {contrast}.")
    theta = list(weights.references[contrast].theta)
    given: set[str] = set()
    for part in text.split(","):
        tissue, _, value = part.partition("=")
        if tissue in given:
            raise UsageError(f"--target {typed}: {tissue} is given twice.", "Give one intensity for each tissue.")
        given.add(tissue)
        if tissue not in TISSUES or tissue == "white":
            known = ", ".join(one for one in TISSUES if one != "white")
            raise UsageError(f"--target {typed}: '{tissue}' is not a tissue with an intensity.", f"Tissues: {known}.")
        try:
            theta[TISSUES.index(tissue)] = float(value)
        except ValueError:
            raise UsageError(f"--target {typed}: '{part}' contains no number.", "White matter is 1.") from None
    if not all(0 <= value <= LARGEST for value in theta):
        raise UsageError(f"--target {typed}: an intensity is not between 0 and {LARGEST:g}.", "White matter is 1.")
    return Target(name, contrast, tuple(theta), CLEAN, WHITE_MATTER_PEAK, f"intensities {text}")


def _need_mixture(typed: str, weights: Weights) -> None:
    if weights.variant != MIXTURE:
        raise UsageError(
            f"--target {typed} specifies tissue intensities, but theta of {weights.name} is not a table of them.",
            "Use it with the built-in weights; for HACA3 weights give an image or two numbers (T1w:10,20).",
        )


def _read(path: Path) -> dict[str, object]:
    try:
        return from_json(path.read_text(encoding="utf-8-sig"), dict[str, object])
    except (OSError, ValueError) as error:
        raise BadInput(f"{path.name} cannot be read as a JSON sidecar ({error}).") from error


def _in_words(protocol: Protocol) -> str:
    said = {"TR": protocol.tr_ms, "TE": protocol.te_ms, "TI": protocol.ti_ms, "flip angle": protocol.flip_deg}
    numbers = ", ".join(f"{word} {value:g}" for word, value in said.items() if value)
    return f"{protocol.sequence} at {protocol.field_t:g} T, {numbers}"
