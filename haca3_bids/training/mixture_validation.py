"""Validation of the mixture model on slices of unseen people, simulated by ``simulated`` instead of ``crops``.

Every contrast of another site is predicted from one to four contrasts of a person. PSNR is computed after the best
scale factor, with the 95th percentile of the truth in the head as data range. Theta is known: the person's own table
for the sources, that of another person at the target site for the target.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from haca3_bids.arrays import Array, Mask
from haca3_bids.evaluation.similarity import scaled_psnr_db
from haca3_bids.networks.mixture import Mixture, Sources
from haca3_bids.physics.anatomy import Anatomy
from haca3_bids.physics.protocols import draw_site
from haca3_bids.physics.render import render, tissue_weights
from haca3_bids.physics.scanner import Imperfections, acquire, draw_acquisition
from haca3_bids.physics.tissues import IN_BRAIN, person_deviations
from haca3_bids.settings import CONTRASTS
from haca3_bids.training.mixture_batches import MixtureBatch
from haca3_bids.training.simulated import SimulatedSlices
from haca3_bids.training.validation import SEED, draw_rows

SLICES = 32
Changed = Callable[[Imperfections], Imperfections]
OWN, ABSENT = "own", "absent"  # the target's contrast is among the sources, or not


@dataclass(frozen=True)
class Sample:
    """One slice of one person as a batch of one, with masks and the attainable image of each target."""

    batch: MixtureBatch
    head: Mask
    brain: Mask
    bounds: Array  # (targets, h, w): the true anatomy rendered with the other person's table


class MixtureValidation:
    """Validation of a model in evaluation mode on a fixed set of slices.

    ``changed`` alters the imperfections of every scan.
    """

    def __init__(self, heads: Sequence[Anatomy], slices: int = SLICES, changed: Changed = lambda how: how) -> None:
        data = SimulatedSlices(heads, SEED)
        self.samples = [_sample(data, np.random.default_rng((SEED, number)), changed) for number in range(slices)]

    def scores(self, model: torch.nn.Module) -> dict[str, float]:
        """Mean PSNR (dB), such as ``own_brain_T1w``; ``psnr`` is the mean of own and absent contrasts, brain."""
        assert isinstance(model, Mixture)
        rows: dict[str, list[float]] = {}
        for sample in self.samples:
            for name, value in _scores(model, sample):
                rows.setdefault(name, []).append(value)
        return _means(rows)

    @torch.inference_mode()
    def draw(self, model: Mixture, path: Path, rows: int = 6) -> None:
        """Write a PNG file: scan, harmonized from all sources, harmonized without its own contrast, truth, bound."""
        images, brightest = [], []
        for number, sample in enumerate(self.samples[:rows]):
            contrast, batch = number % len(CONTRASTS), sample.batch
            maps = model.encode(batch.images[0][:, None], batch.thetas[0])[None]
            others = [one for one in range(len(CONTRASTS)) if one != contrast]
            made = [_harmonized(model, maps, batch, contrast, sources) for sources in ([*others, contrast], others)]
            shown = [batch.images[0, contrast], *made, batch.truth[0, contrast], sample.bounds[contrast]]
            titles = (f"{CONTRASTS[contrast]} as scanned", "harmonized", "from the others", "truth", "bound")
            images.append(dict(zip(titles, shown, strict=True)))
            brightest.append(float(np.percentile(batch.truth[0, contrast], 99)))
        draw_rows(images, brightest, path)


def _means(rows: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Means over slices for each contrast, and means of these over contrasts."""
    means = {name: float(np.mean(values)) for name, values in rows.items()}
    for group in sorted({name.rsplit("_", 1)[0] for name in rows}):
        means[group] = float(np.mean([means[f"{group}_{c}"] for c in CONTRASTS if f"{group}_{c}" in means]))
    means["psnr"] = (means[f"{OWN}_brain"] + means[f"{ABSENT}_brain"]) / 2
    return means


@torch.inference_mode()
def _scores(model: Mixture, sample: Sample) -> list[tuple[str, float]]:
    """PSNR (dB) of every target from one to four sources, of the scan as it is, and of the bound."""
    found, batch = [], sample.batch
    maps = model.encode(batch.images[0][:, None], batch.thetas[0])[None]
    masks = [(where, mask) for where, mask in (("head", sample.head), ("brain", sample.brain)) if mask.any()]
    for number, contrast in enumerate(CONTRASTS):
        truth = batch.truth[0, number].numpy()
        images = [
            (kind, _harmonized(model, maps, batch, number, sources).numpy()) for kind, sources in _source_sets(number)
        ]
        images += [("scanned", batch.images[0, number].numpy()), ("bound", sample.bounds[number])]
        found += [
            (f"{kind}_{where}_{contrast}", scaled_psnr_db(image, truth, mask, sample.head))
            for kind, image in images
            for where, mask in masks
        ]
    return found


def _source_sets(number: int) -> list[tuple[str, list[int]]]:
    """The sets of sources for a target: all, its own contrast alone, all others, and one other."""
    others = [one for one in range(len(CONTRASTS)) if one != number]
    return [(OWN, [0, 1, 2, 3]), (OWN, [number]), (ABSENT, others), (ABSENT, [others[number % 3]])]


def _harmonized(model: Mixture, maps: Tensor, batch: MixtureBatch, number: int, sources: list[int]) -> Tensor:
    covers = torch.zeros_like(batch.covers)
    covers[:, sources] = batch.covers[:, sources]
    own = (batch.contrasts == number) & torch.tensor(number in sources)
    return model.harmonize(Sources(maps, batch.images, batch.thetas, covers), batch.targets[:, number], own).image[0]


def _sample(data: SimulatedSlices, rng: np.random.Generator, changed: Changed) -> Sample:
    """A random slice: scans of all contrasts at one site, and their true images at another."""
    person = int(rng.integers(data.people))
    view = data.view(person, rng)
    here, there, other = draw_site(rng), draw_site(rng), person_deviations(rng)
    images, thetas, truth, targets, bounds = [], [], [], [], []
    for contrast in CONTRASTS:
        own = tissue_weights(here[contrast], view.deviations)
        how = changed(draw_acquisition(rng, axes=2))
        images.append(acquire(render(view.shares, own, view.local), how) * view.mask)
        thetas.append(own[0])
        wanted = tissue_weights(there[contrast], view.deviations)
        truth.append(render(view.shares, wanted, view.local) * view.mask)
        table = tissue_weights(there[contrast], other)
        targets.append(table[0])
        bounds.append(render(view.shares, table) * view.mask)
    brain = view.shares[IN_BRAIN].sum(axis=0) > 0.5
    numbers = torch.arange(len(CONTRASTS))[None]
    batch = MixtureBatch(
        images=_tensor(images),
        covers=torch.from_numpy(view.mask)[None, None].expand(1, len(CONTRASTS), -1, -1),
        thetas=_tensor(thetas),
        tables=_tensor(thetas),
        severity=torch.zeros(1, len(CONTRASTS)),
        contrasts=numbers,
        truth=_tensor(truth),
        targets=_tensor(targets),
        wanted=numbers,
        scale=torch.ones(1, len(CONTRASTS)),
        shares=torch.zeros(0),
        head=torch.from_numpy(view.mask)[None].float(),
    )
    return Sample(batch, view.mask, brain, np.stack(bounds))


def _tensor(arrays: Sequence[Array]) -> Tensor:
    return torch.from_numpy(np.stack(arrays).astype(np.float32))[None]
