"""The target of harmonization."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from haca3_bids.errors import UsageError

CLEAN = (0.0,)  # eta of the mixture model for an image without artifacts
CLEAN_ETA = (0.3, 0.5)  # HACA3's eta of a clean image, as in the released program: used if only theta is given
SAME_TARGET = 1e-3  # tolerance: theta of an image differs by less between machines


def target_key(name: str, contrast: str) -> str:
    """The key of a target, such as ``haca3site2_T2w``."""
    return f"haca3{name}_{contrast}"


def target_in_words(key: str) -> str:
    """The target with that key: ``T2w (site2)``, or ``T2w (built-in)``."""
    name, _, contrast = key.removeprefix("haca3").rpartition("_")
    return f"{contrast} ({name or 'built-in'})"


def builtin_origin(weights: str) -> str:
    """The origin of the built-in references of weights with this name."""
    return f"built-in reference of {weights}"


@dataclass(frozen=True)
class Target:
    """A target of harmonization; UsageError if its name or numbers are invalid."""

    name: str  # "" for a built-in reference
    contrast: str  # the suffix of the output file
    theta: tuple[float, ...]  # two numbers (HACA3), or the intensities of the tissues (mixture model)
    eta: tuple[float, ...]
    scale: float  # intensity to which the 95th percentile, or white matter, is scaled
    origin: str  # source of the numbers, for the sidecar
    fingerprint: str = ""  # of the image and the settings it was encoded with; only in the dataset's description

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9]*", self.name):
            raise UsageError(f"{self.name} cannot name a target.", "Use letters and digits only.")
        numbers = (*self.theta, *self.eta, self.scale)
        paired = len(self.theta) == len(self.eta) == 2 or (len(self.theta) > 2 and len(self.eta) == 1)
        if not paired or not all(map(math.isfinite, numbers)) or self.scale <= 0:
            raise UsageError(
                f"Target {self.name or self.contrast} has theta {self.theta}, eta {self.eta} and scale {self.scale}.",
                "Two finite numbers each, or the intensities of all tissues and one number, and a scale above zero are "
                "needed.",
            )
        object.__setattr__(self, "theta", tuple(float(value) for value in self.theta))
        object.__setattr__(self, "eta", tuple(float(value) for value in self.eta))

    @property
    def desc(self) -> str:
        """The ``desc-`` label of images harmonized to it: ``haca3site2``."""
        return f"haca3{self.name}"

    @property
    def key(self) -> str:
        """The key that identifies its images in a dataset."""
        return target_key(self.name, self.contrast)

    def matches(self, other: Target) -> bool:
        """Whether the other target has the same contrast, theta and eta, up to SAME_TARGET."""
        if (self.contrast, len(self.theta), len(self.eta)) != (other.contrast, len(other.theta), len(other.eta)):
            return False
        pairs = zip([*self.theta, *self.eta], [*other.theta, *other.eta], strict=True)
        return all(math.isclose(one, two, rel_tol=SAME_TARGET, abs_tol=SAME_TARGET) for one, two in pairs)
