"""Simulated batches for the mixture model: people scanned at one site, and their true images at another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from haca3_bids.networks.theta import DARKEST
from haca3_bids.physics.anatomy import Anatomy
from haca3_bids.physics.render import TEXTURE_CELLS
from haca3_bids.physics.tissues import FATTY, IN_BRAIN, WHITE
from haca3_bids.settings import CONTRASTS
from haca3_bids.training.acquisition import FAT_LEFT, FAT_SUPPRESSED, Scanner, closed, resampled
from haca3_bids.training.crops import Crops, Heads
from haca3_bids.training.tables import SiteTables, draw_people, draw_tables, within_tissue
from haca3_bids.volumes.canvas import CANVAS

BATCH = {1: 32, 2: 24, 3: 16, 4: 12}  # samples by number of sources: the number of images is about constant
WHOLE_BATCH = {1: 4, 2: 3, 3: 2, 4: 2}  # likewise of whole slices
# Probabilities of one to four sources, drawn for a whole batch. HACA3's dropout of sources (``dropout``) draws for each
# sample, after all sources were encoded.
SOURCES = (0.35, 0.30, 0.20, 0.15)
WHOLE_EVERY = 4  # steps between batches of whole slices, in which motion and ghosts are simulated
TARGETS = 2
SAME_SITE = 0.2  # fraction of the samples whose target site is their own
JITTER, ROUGH_JITTER = 0.04, 0.20  # standard deviations of the error of log theta: final and rough estimates
GUESSED, ROUGH = 0.15, 0.25  # fractions of the sources encoded with their contrast's mean theta, or a rough estimate
BEYOND, BEYOND_BRAIN, BEYOND_OUTSIDE = 0.2, 0.12, 0.35  # fraction of the sources with altered tissues; log deviations


@dataclass(frozen=True)
class MixtureBatch:
    """One batch: ``sources`` scans of each of ``batch`` people, and ``TARGETS`` contrasts to be predicted."""

    images: Tensor  # (batch, sources, h, w)
    covers: Tensor  # (batch, sources, h, w), bool
    thetas: Tensor  # (batch, sources, tissues): theta with which a scan is encoded
    tables: Tensor  # (batch, sources, tissues): the final estimate of theta
    severity: Tensor  # (batch, sources), of artifacts; NaN where unknown
    contrasts: Tensor  # (batch, sources), indices in CONTRASTS
    truth: Tensor  # (batch, targets, h, w)
    targets: Tensor  # (batch, targets, tissues): another person's table at the target site
    wanted: Tensor  # (batch, targets), indices in CONTRASTS
    scale: Tensor  # (batch, targets): the 95th percentile of a head in that contrast
    shares: Tensor  # (batch, tissues + 1, h, w): true fractions of tissues and air
    head: Tensor  # (batch, h, w), 0 or 1

    def cropped(self, inside: tuple[slice, ...]) -> MixtureBatch:
        """The batch with images cropped to rows and columns ``inside``."""
        pictures = ("images", "covers", "truth", "shares", "head")
        return replace(self, **{name: getattr(self, name)[..., *inside] for name in pictures})


class MixtureData:
    """Simulated batches; batch ``step`` depends only on (seed, step), so that a run can resume exactly."""

    def __init__(self, heads: Sequence[Anatomy], seed: int, device: torch.device) -> None:
        self.heads, self.seed, self.device = Heads(heads), seed, device
        self.tables: SiteTables = draw_tables(self.heads.coarse(), seed).to(device)
        self.means = (self.tables.rows[:, :, 0] + DARKEST).log().mean(dim=0).exp() - DARKEST  # (contrasts, tissues)

    def batch(self, step: int) -> MixtureBatch:
        """The batch of one step."""
        rng = np.random.default_rng((self.seed, step))
        generator = torch.Generator(self.device).manual_seed(int(rng.integers(2**62)))
        whole = step % WHOLE_EVERY == WHOLE_EVERY - 1
        sources = int(rng.choice(len(SOURCES), p=SOURCES)) + 1
        count = (WHOLE_BATCH if whole else BATCH)[sources]
        crops = self.heads.draw(count, rng, self.device, whole=whole)
        return self._scanned(crops, sources, Scanner(generator, rng), whole)

    def whole(self, count: int) -> Iterator[MixtureBatch]:
        """The first ``count`` batches of whole slices."""
        return (self.batch(number * WHOLE_EVERY + WHOLE_EVERY - 1) for number in range(count))

    def _scanned(self, crops: Crops, sources: int, scanner: Scanner, whole: bool) -> MixtureBatch:
        count, rng = len(crops.shares), scanner.rng
        order = np.argsort(rng.uniform(size=(count, len(CONTRASTS))), axis=1)
        contrasts = self._tensor(order[:, :sources])
        chosen = rng.integers(sources, size=count)  # source with the contrast and position of the first target
        wanted = self._tensor(_wanted(order, chosen, rng))
        here, there = (self._tensor(rng.integers(len(self.tables.rows), size=count)) for _ in range(2))
        there = torch.where(self._tensor(rng.uniform(size=count)) < SAME_SITE, here, there)
        own, other = (draw_people(count, scanner.generator) for _ in range(2))
        local = self._texture(crops, scanner)
        head = closed((crops.shares.sum(dim=1) > 0.5).float())
        moves = [scanner.misregistered(count, head.shape[-1]) for _ in range(sources)]
        scans, tables = [], []
        for place, move in enumerate(moves):
            rows = self._beyond(self.tables.of_people(here, contrasts[:, place], own), scanner)
            thick = self._tensor(rng.uniform(size=count) < 0.5)[:, None, None, None]
            clean = rendered(torch.where(thick, crops.thick, crops.shares), rows, local)
            scans.append(scanner.acquire(resampled(clean, move), head, whole=whole))
            tables.append(rows[:, 0])
        truth = [rendered(crops.shares, self.tables.of_people(there, wanted[:, t], own), local) for t in range(TARGETS)]
        truth[0] = resampled(truth[0], torch.stack(moves, 1)[torch.arange(count), self._tensor(chosen)])
        targets = [self.tables.of_people(there, wanted[:, t], other)[:, 0] for t in range(TARGETS)]
        measured = jittered(torch.stack(tables, 1), JITTER, scanner)
        return MixtureBatch(
            torch.stack([one.images for one in scans], 1),
            torch.stack([one.covers for one in scans], 1) > 0,
            self._at_first(measured, contrasts, scanner),
            measured,
            torch.stack([one.severity for one in scans], 1),
            contrasts,
            torch.stack(truth, 1),
            jittered(torch.stack(targets, 1), JITTER, scanner),
            wanted,
            self.tables.scale[there[:, None], wanted],
            torch.cat([crops.shares, crops.air], dim=1),
            head,
        )

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values).to(self.device)

    def _texture(self, crops: Crops, scanner: Scanner) -> Tensor:
        like = crops.shares[:, :3]
        fields = sum(scanner.fields(like, CANVAS / cells) for cells in TEXTURE_CELLS)
        return within_tissue(fields / len(TEXTURE_CELLS) ** 0.5)

    def _beyond(self, rows: Tensor, scanner: Scanner) -> Tensor:
        """Rows with suppressed fat in some sources, and with intensities outside the physical model in others."""
        count, device = len(rows), rows.device
        low, high = FAT_LEFT
        left = low + (high - low) * scanner.uniform(count, 1)
        factor = torch.where(
            (scanner.uniform(count, 1) < FAT_SUPPRESSED) & torch.from_numpy(FATTY).to(device), left, 1.0
        )
        spread = torch.where(torch.from_numpy(IN_BRAIN), BEYOND_BRAIN, BEYOND_OUTSIDE).to(device)
        beyond = scanner.uniform(count, 1) < BEYOND
        factor = factor * (beyond * spread * scanner.normal(count, rows.shape[-1])).exp()
        return rows * (factor / factor[:, WHITE, None])[:, None]

    def _at_first(self, measured: Tensor, contrasts: Tensor, scanner: Scanner) -> Tensor:
        """The table for encoding each scan: mostly ``measured``, else a rough estimate or the contrast's mean."""
        draw = scanner.uniform(*measured.shape[:2], 1)
        rough = jittered(measured, ROUGH_JITTER, scanner)
        return torch.where(draw < GUESSED, self.means[contrasts], torch.where(draw < GUESSED + ROUGH, rough, measured))


def _wanted(order: NDArray[np.intp], chosen: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    """Target contrasts (batch, TARGETS): that of the ``chosen`` source (a column of ``order``), then random others."""
    own = order[np.arange(len(order)), chosen]
    others = np.argsort(rng.uniform(size=(len(order), len(CONTRASTS) - 1)), axis=1) + 1
    wanted: NDArray[np.intp] = np.concatenate([own[:, None], (own[:, None] + others) % len(CONTRASTS)], axis=1)
    return wanted[:, :TARGETS]


def jittered(tables: Tensor, error: float, scanner: Scanner) -> Tensor:
    """Tables with normal errors of standard deviation ``error`` in their logarithms, except for white matter."""
    errors = error * scanner.normal(*tables.shape)
    errors[..., WHITE] = 0
    return tables * errors.exp()


def rendered(shares: Tensor, rows: Tensor, local: Tensor) -> Tensor:
    """Noise-free images (batch, h, w): tissue fractions times signal, with first-order texture ``local``."""
    parts = torch.einsum("brt,bthw->brhw", rows, shares)
    return (parts[:, 0] + (parts[:, 1:] * local).sum(dim=1)).clamp(min=0)
