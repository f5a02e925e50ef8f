"""Batches of slices through HACA3: encoded once, fused, decoded for every target, and stacked into volumes."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from haca3_bids.arrays import Array, Mask
from haca3_bids.harmonization.device import Batches, Indices, half_precision
from haca3_bids.harmonization.method import Session
from haca3_bids.harmonization.prepare import Prepared, nonempty, representative
from haca3_bids.harmonization.target import Target
from haca3_bids.networks.haca3 import Haca3, argmax_beta, sample_beta
from haca3_bids.settings import HarmonizationSettings
from haca3_bids.volumes.canvas import CANVAS
from haca3_bids.volumes.slices import ORIENTATIONS, cut

logger = logging.getLogger(__name__)


@dataclass
class Draw:
    """One image to be computed: a target, and the number of the sample if anatomy is drawn at random."""

    target: Target
    sample: int
    wants_maps: bool = False
    stacks: dict[str, Array] = field(default_factory=dict)  # harmonized canvas of each orientation
    attention: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))  # (orientations, slices, sources)
    maps: list[Array] = field(default_factory=list)  # attention of each source, mean over orientations
    beta: NDArray[np.uint8] | None = None  # level + 1 of the axial slices, 0 outside


@dataclass(frozen=True)
class _Encoded:
    """A batch of slices of all sources."""

    logits: Tensor  # (batch, sources, levels, h, w)
    codes: Tensor  # (batch, sources, 4): theta, eta
    votes: Tensor  # (batch, sources, h, w), bool


class Stream:
    """Runs the slices of a session through the networks; ``codes`` are theta and eta of each slice."""

    def __init__(
        self, session: Session, model: Haca3, settings: HarmonizationSettings, device: torch.device, batches: Batches
    ) -> None:
        self.session = session
        self.model = model
        self.settings = settings
        self.device = device
        self.batches = batches
        self.middle = representative(nonempty(cut(session.mask, "coronal")))
        self.codes = np.full((len(ORIENTATIONS), CANVAS, len(session.sources), 4), np.nan)

    def run(self, draws: Sequence[Draw]) -> None:
        """Compute the draws; each slice is encoded once for all of them."""
        for draw in draws:
            draw.stacks = {orientation: np.zeros((CANVAS,) * 3, np.float32) for orientation in ORIENTATIONS}
            draw.attention = np.zeros((len(ORIENTATIONS), CANVAS, len(self.session.sources)))
            if draw.wants_maps:
                draw.maps = [np.zeros((CANVAS,) * 3, np.float32) for _ in self.session.sources]
                draw.beta = np.zeros((CANVAS,) * 3, np.uint8)
        for orientation in ORIENTATIONS:
            indices = nonempty(cut(self.session.mask, orientation))
            logger.info("Harmonizing %d %s slices.", len(indices), orientation)
            step = partial(self._step, orientation=orientation, draws=draws)
            self.batches.run(indices, step, f"Harmonizing {orientation} slices")

    def _step(self, batch: Indices, orientation: str, draws: Sequence[Draw]) -> None:
        encoded = self._encode(batch, orientation)
        results = [self._decode(encoded, draw, batch, orientation) for draw in draws]
        self.codes[ORIENTATIONS.index(orientation), batch] = encoded.codes.cpu().numpy()
        for draw, result in zip(draws, results, strict=True):
            self._keep(draw, batch, orientation, *result)

    def _encode(self, batch: Indices, orientation: str) -> _Encoded:
        votes = np.stack([_slices(source.votes, orientation, batch) for source in self.session.sources.values()], 1)
        parts = [
            self._encode_source(source, batch, orientation, np.asarray(votes[:, number].any(axis=(1, 2))))
            for number, source in enumerate(self.session.sources.values())
        ]
        logits, codes = (torch.stack(part, dim=1) for part in zip(*parts, strict=True))
        return _Encoded(logits, codes, torch.from_numpy(votes).to(self.device))

    def _encode_source(self, source: Prepared, batch: Indices, orientation: str, seen: Mask) -> tuple[Tensor, Tensor]:
        """Logits and codes of one source; where it has no data, they are zero and NaN."""
        rows = np.ones_like(seen) if self.settings.like_authors else seen
        model, levels = self.model, self.model.config.beta_dim
        logits = torch.zeros(len(batch), levels, CANVAS, CANVAS, device=self.device)
        codes = torch.full((len(batch), 4), torch.nan, device=self.device)
        if not rows.any():
            return logits, codes
        x = torch.from_numpy(_slices(source.values, orientation, batch[rows]))[:, None].to(self.device)
        chosen = torch.from_numpy(rows).to(self.device)
        with half_precision(self.device, self.settings.precision):
            logits[chosen] = model.encode(x).float()
            if self._needs_codes(batch, orientation):
                codes[chosen] = model.codes(x).float()
        return logits, codes

    def _needs_codes(self, batch: Indices, orientation: str) -> bool:
        """With a single source, attention is 1 everywhere, and its codes are only needed for the report."""
        several = len(self.session.sources) > 1
        return several or (orientation == "coronal" and bool(np.isin(batch, self.middle).any()))

    def _decode(self, encoded: _Encoded, draw: Draw, batch: Indices, orientation: str) -> tuple[Tensor, Tensor, Tensor]:
        """Images (batch, h, w), attention (batch, sources, h, w) and levels (batch, h, w) of one draw."""
        model, target = self.model, draw.target
        query = torch.tensor([[*target.theta, *target.eta]], device=self.device).expand(len(batch), -1)
        alpha = model.attend(torch.nan_to_num(encoded.codes), query, self._votes(encoded))
        beta = self._anatomy(model.fuse(encoded.logits, alpha), draw.sample, batch, orientation)
        with half_precision(self.device, self.settings.precision):
            image = model.decode(beta, query[:, :2])[:, 0].float()
        levels = beta.max(dim=1).indices.to(torch.uint8) if draw.wants_maps else beta.new_zeros(0)
        return image, alpha.expand(-1, -1, *image.shape[1:]), levels

    def _votes(self, encoded: _Encoded) -> Tensor | None:
        """Where sources have data; None for the released HACA3, which ignores it."""
        return encoded.votes if self.model.config.maps or not self.settings.like_authors else None

    def _anatomy(self, logits: Tensor, sample: int, batch: Indices, orientation: str) -> Tensor:
        """Beta: the likeliest level, or a level drawn by the generator of the slice."""
        if self.settings.beta != "sample":
            return argmax_beta(logits)
        numbers = (self.settings.seed, sample, ORIENTATIONS.index(orientation))
        generators = (_generator(*numbers, int(index)) for index in batch)
        return torch.cat(
            [sample_beta(one, chance) for one, chance in zip(torch.split(logits, 1), generators, strict=True)]
        )

    def _keep(
        self, draw: Draw, batch: Indices, orientation: str, images: Tensor, alpha: Tensor, levels: Tensor
    ) -> None:
        mask = cut(self.session.mask, orientation)[batch]
        cut(draw.stacks[orientation], orientation)[batch] = images.cpu().numpy() * mask
        weights = alpha.cpu().numpy() * mask[:, None]
        inside = (
            weights if self.session.brain is None else weights * cut(self.session.brain, orientation)[batch][:, None]
        )
        draw.attention[ORIENTATIONS.index(orientation), batch] = inside.sum(axis=(2, 3), dtype=np.float64)
        for volume, weight in zip(draw.maps, weights.swapaxes(0, 1), strict=False):
            cut(volume, orientation)[batch] += weight / np.float32(len(ORIENTATIONS))
        if draw.beta is not None and orientation == "axial":
            cut(draw.beta, orientation)[batch] = (levels.cpu().numpy() + 1) * mask


def _slices(volume: NDArray[np.generic], orientation: str, batch: Indices) -> NDArray[np.generic]:
    return np.ascontiguousarray(cut(volume, orientation)[batch])


def _generator(seed: int, sample: int, orientation: int, index: int) -> torch.Generator:
    """The generator of one slice: each has its own, so that samples do not depend on the batches."""
    entropy = np.random.SeedSequence([abs(seed), int(seed < 0), sample, orientation, index])
    return torch.Generator().manual_seed(int(entropy.generate_state(1, np.uint64)[0]) >> 1)
