"""What the harmonized image shall look like: theta and eta of a reference, of an image, or given as numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from haca3_bids.checkpoints.formats import Checkpoint
from haca3_bids.errors import UsageError
from haca3_bids.settings import WHITE_MATTER_PEAK

DEFAULT_ETA = (0.3, 0.5)  # of a clean image, in the released weights; used where only theta is given

Pair = tuple[float, float]


@dataclass(frozen=True)
class Target:
    """One wanted contrast."""

    name: str  # "" for a built-in reference; files are called desc-haca3<name>
    contrast: str  # the suffix of the file that is written
    theta: tuple[float, ...]  # two numbers (HACA3), or the intensities of the tissues (mixture model)
    eta: tuple[float, ...]
    scale: float  # intensity that the harmonized image's unit (95th percentile, or white matter) is brought to
    origin: str  # where the numbers come from, for the sidecar

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9]*", self.name):
            raise UsageError(f"{self.name} cannot name a target.", "Use letters and digits only.")
        numbers = (*self.theta, *self.eta, self.scale)
        paired = len(self.theta) == len(self.eta) == 2 or (len(self.theta) > 2 and len(self.eta) == 1)
        if not paired or not np.isfinite(numbers).all() or self.scale <= 0:
            raise UsageError(
                f"Target {self.name or self.contrast} has theta {self.theta}, eta {self.eta} and scale {self.scale}.",
                "Two finite numbers each, or the intensities of all tissues and one number, and a scale above zero are "
                "needed.",
            )
        object.__setattr__(self, "theta", tuple(float(value) for value in self.theta))
        object.__setattr__(self, "eta", tuple(float(value) for value in self.eta))

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self) | {"theta": list(self.theta), "eta": list(self.eta)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Target:
        """The inverse of ``to_json``."""
        return cls(**{**fields, "theta": tuple(fields["theta"]), "eta": tuple(fields["eta"])})


def target_from_reference(contrast: str, checkpoint: Checkpoint, name: str = "") -> Target:
    """The reference of this contrast that comes with the weights; UsageError when they have none."""
    reference = checkpoint.references.get(contrast)
    if reference is None:
        known = ", ".join(checkpoint.references) or "none"
        raise UsageError(
            f"The weights {checkpoint.name} have no built-in reference for {contrast} (they have {known}).",
            "Give an image, a subject or numbers as target, for example T2w:THETA0,THETA1.",
        )
    origin = f"built-in reference of the weights {checkpoint.name}: {reference.description}"
    return Target(name, reference.contrast, reference.theta, reference.eta, reference.scale, origin)


def target_from_numbers(contrast: str, theta: Pair, eta: Pair | None = None, name: str = "") -> Target:
    """A target from two or four numbers; the output is scaled to 1000."""
    return Target(name, contrast, theta, eta or DEFAULT_ETA, WHITE_MATTER_PEAK, "numbers on the command line")
