"""Simulated slices for the baselines: the same slices at both sites, and slices of other people at the second."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from haca3_bids.arrays import Array
from haca3_bids.physics.anatomy import Anatomy
from haca3_bids.physics.scanner import draw_acquisition
from haca3_bids.physics.signal import Protocol
from haca3_bids.training.simulated import SimulatedSlices, View


@dataclass(frozen=True)
class Sites:
    """The protocols of the two sites by contrast; the first of ``contrasts`` is translated."""

    source: Mapping[str, Protocol]
    target: Mapping[str, Protocol]
    contrasts: tuple[str, ...]


class TwoSites(SimulatedSlices):
    """Item i, drawn from (seed, i): ``source``, ``paired``, ``target`` of ``Baseline``, (contrasts, 224, 224) each."""

    def __init__(self, heads: Sequence[Anatomy], sites: Sites, seed: int = 0) -> None:
        super().__init__(heads, seed)
        self.sites = sites

    def __getitem__(self, index: int) -> dict[str, Tensor | int]:
        rng = np.random.default_rng((self.seed, index))
        person = int(rng.integers(len(self.heads)))
        one, other = self.view(person, rng), self.view(self.another(person, rng), rng)
        made = {
            "source": self._scanned(one, self.sites.source, rng),
            "paired": self._scanned(one, self.sites.target, rng),
            "target": self._scanned(other, self.sites.target, rng),
        }
        return {name: torch.from_numpy(images) for name, images in made.items()}

    def _scanned(self, view: View, site: Mapping[str, Protocol], rng: np.random.Generator) -> Array:
        contrasts = self.sites.contrasts
        return np.stack([view.acquired(site[contrast], draw_acquisition(rng, axes=2)) for contrast in contrasts])
