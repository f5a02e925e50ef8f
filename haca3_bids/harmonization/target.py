"""Targets from the built-in references of weights, and from numbers."""

from haca3_bids.checkpoints.formats import Checkpoint
from haca3_bids.errors import UsageError
from haca3_bids.records.target import CLEAN_ETA, builtin_origin
from haca3_bids.records.target import Target as Target
from haca3_bids.settings import WHITE_MATTER_PEAK

Pair = tuple[float, float]


def target_from_reference(contrast: str, checkpoint: Checkpoint) -> Target:
    """The built-in reference of a contrast; UsageError if the weights have none."""
    reference = checkpoint.references.get(contrast)
    if reference is None:
        known = ", ".join(checkpoint.references) or "none"
        raise UsageError(
            f"The weights {checkpoint.name} have no built-in reference for {contrast} (they have {known}).",
            "Give an image, a subject or numbers as target, for example T2w:THETA0,THETA1.",
        )
    origin = f"{builtin_origin(checkpoint.name)}: {reference.description}"
    return Target("", reference.contrast, reference.theta, reference.eta, reference.scale, origin)


def target_from_numbers(contrast: str, theta: Pair, eta: Pair | None = None) -> Target:
    """A target from two or four numbers; the output is scaled to 1000."""
    return Target("", contrast, theta, eta or CLEAN_ETA, WHITE_MATTER_PEAK, "numbers on the command line")
