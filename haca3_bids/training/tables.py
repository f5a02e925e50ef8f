"""Tables of tissue intensities for training: random sites from signal equations, people to first order in ln T1 etc."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from haca3_bids.intensity.percentile import PERCENTILE
from haca3_bids.physics.protocols import draw_site
from haca3_bids.physics.signal import signal_and_slopes
from haca3_bids.physics.tissues import SPREAD_BETWEEN_PEOPLE, SPREAD_WITHIN_TISSUE, TISSUES, WHITE, mean_tissues
from haca3_bids.settings import CONTRASTS

SITES = 3000
SPREADS = torch.tensor([1.0, 1.0, 0.5])  # of ln T1, ln T2, ln PD, relative to the spreads of ``physics.tissues``


@dataclass(frozen=True)
class SiteTables:
    """Signal of each tissue at random sites and its derivatives by ln T1, ln T2 and ln PD."""

    rows: Tensor  # (sites, contrasts, 4, tissues), relative to the signal of white matter
    scale: Tensor  # (sites, contrasts): the 95th percentile of a head

    def of_people(self, sites: Tensor, contrasts: Tensor, deviations: Tensor) -> Tensor:
        """Rows (batch, 4, tissues) of people with tissue ``deviations`` (batch, 3, tissues), white matter = 1."""
        rows = self.rows[sites, contrasts]
        rows = torch.cat([rows[:, :1] + (rows[:, 1:] * deviations).sum(dim=1, keepdim=True), rows[:, 1:]], dim=1)
        rows = torch.cat([rows[:, :1].abs(), rows[:, 1:]], dim=1)
        return rows / rows[:, :1, WHITE, None]

    def to(self, device: torch.device) -> SiteTables:
        """The tables on another device."""
        return SiteTables(self.rows.to(device), self.scale.to(device))


def draw_tables(coarse: Tensor, seed: int, sites: int = SITES) -> SiteTables:
    """Tables of random sites; percentiles are computed from tissue fractions ``coarse`` (tissues, voxels)."""
    rng = np.random.default_rng((seed, sites))
    rows = np.empty((sites, len(CONTRASTS), 4, len(TISSUES)), np.float32)
    for number in range(sites):
        for place, protocol in enumerate(draw_site(rng, CONTRASTS).values()):
            found = signal_and_slopes(protocol, mean_tissues(protocol.field_t))
            rows[number, place] = found / found[0, WHITE]
    table = torch.from_numpy(rows)
    images = table[:, :, 0] @ coarse
    scale = torch.stack([one.quantile(PERCENTILE / 100, dim=-1) for one in images.split(1)]).flatten(0, 1)
    return SiteTables(table, scale)


def draw_people(count: int, generator: torch.Generator) -> Tensor:
    """Random deviations (count, 3, tissues) of ln T1, ln T2 and ln PD of people from the population mean."""
    normal = torch.randn(count, 3, len(TISSUES), generator=generator, device=generator.device)
    return normal * SPREAD_BETWEEN_PEOPLE * SPREADS.to(normal.device)[:, None]


def within_tissue(fields: Tensor) -> Tensor:
    """Texture (batch, 3, h, w) from fields of unit standard deviation."""
    return fields * SPREAD_WITHIN_TISSUE * SPREADS.to(fields.device)[:, None, None]
