"""The interface between the engine and a family of networks.

``slicewise`` applies HACA3, ``voxelwise`` the mixture model. Another engine (for another runtime or
family) is a file with a subclass of ``Method``, and a line in ``engine.method_for``.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from haca3_bids.arrays import Array, Mask
from haca3_bids.harmonization.prepare import Prepared
from haca3_bids.records.engine import SourceReport as SourceReport
from haca3_bids.records.target import Target
from haca3_bids.settings import HarmonizationSettings


@dataclass(frozen=True)
class Session:
    """The prepared images of one session, in the order in which they are used."""

    sources: Mapping[str, Prepared]
    mask: Mask  # voxels to harmonize
    brain: Mask | None = None  # voxels over which attention is averaged; None: all that are harmonized

    @property
    def covered(self) -> Mask:
        """The fields of view of all sources together."""
        return union(source.covered for source in self.sources.values())

    @property
    def brain_without_source(self) -> float | None:
        """The fraction of the brain that no source covers; None if the brain is not known."""
        return None if self.brain is None else float((self.brain & ~self.covered).sum() / max(1, self.brain.sum()))

    def brain_covered(self, source: str) -> float | None:
        """The fraction of the brain that one source covers."""
        if self.brain is None:
            return None
        return float((self.brain & self.sources[source].covered).sum() / max(1, self.brain.sum()))


@dataclass(frozen=True)
class Made:
    """One harmonized image on the canvas, in the units of the networks."""

    target: Target
    image: Array
    sources: Mapping[str, SourceReport]
    std: Array | None = None  # over samples, if anatomy was drawn at random
    attention_maps: Mapping[str, Array] = field(default_factory=dict)
    beta: NDArray[np.uint8] | None = None  # class + 1, 0 outside


class Method(ABC):
    """One family of networks on one device."""

    anatomy: str  # how beta is taken: "argmax", "sample" or "soft"
    settings: HarmonizationSettings  # with the precision that was chosen
    compiler: str | None = None  # name and version, if the networks do not run in PyTorch

    @abstractmethod
    def mask(self, sources: Mapping[str, Prepared]) -> Mask:
        """The voxels to harmonize."""

    @abstractmethod
    def codes(self, image: Prepared, contrast: str) -> SourceReport:
        """Theta, eta and scale of a whole image."""

    def session_codes(self, images: Mapping[str, Prepared]) -> dict[str, SourceReport]:
        """The codes of the images of one session, which lie on one canvas, by contrast."""
        return {contrast: self.codes(image, contrast) for contrast, image in images.items()}

    @abstractmethod
    def run(self, session: Session, targets: Sequence[Target], extras: Collection[str]) -> Iterable[Made]:
        """One image for each target, in their order; ``extras`` may name "attention" and "beta"."""


def union(masks: Iterable[Mask]) -> Mask:
    """Where at least one of the masks is true."""
    result: Mask = np.logical_or.reduce(list(masks))
    return result
