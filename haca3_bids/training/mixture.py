"""Training of the mixture model: the losses of a batch, and a run that can be stopped and called again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from haca3_bids.networks.mixture import ARTIFACT, Mixture, MixtureConfig, Sources
from haca3_bids.physics.anatomy import Anatomy
from haca3_bids.physics.tissues import TISSUES
from haca3_bids.training.loop import Batch, Losses, Plan, fit
from haca3_bids.training.machine import ALONE, Machine
from haca3_bids.training.mixture_batches import MixtureBatch, MixtureData
from haca3_bids.training.mixture_export import WORST, priors
from haca3_bids.training.mixture_scans import ScanData, measured_by
from haca3_bids.training.mixture_validation import MixtureValidation
from haca3_bids.training.scans import PlacedSession

BORDER = 6  # pixels at the rim of a picture, where the encoder lacks context: left out of the losses
SQUARES, GRADIENTS, ARTIFACTS = 2.0, 0.5, 0.2  # weights beside the Charbonnier loss
ENTROPY = (0.2, 0.02)  # weight of beta's cross-entropy at the beginning and from FADED on
FADED = 6000  # steps
SOFT = 1e-3  # of the Charbonnier loss: |x| for errors much larger than this
OUTSIDE = 0.1  # weight of pixels outside the head
LESIONS = 4.0  # weight of lesions beside that of other tissues, 1: they are small


def untrained(seed: int = 0) -> Mixture:
    """The model of the simulator's tissues, its weights drawn from ``seed``."""
    torch.manual_seed(seed)
    return Mixture(MixtureConfig(TISSUES))


def mixture_losses(model: Mixture, batch: MixtureBatch, step: int) -> Losses:
    """Reconstruction of every target in units of its 95th percentile, and what beta and eta shall say."""
    inside = (slice(BORDER, -BORDER),) * 2
    maps = model.encode(batch.images.flatten(0, 1)[:, None], batch.thetas.flatten(0, 1))
    maps = maps.reshape(*batch.images.shape[:2], *maps.shape[1:])[..., *inside]
    batch = batch.cropped(inside)
    sources = Sources(maps, batch.images, batch.tables, batch.covers)
    seen = batch.covers.any(dim=1)
    weight = seen * (OUTSIDE + (1 - OUTSIDE) * batch.head)
    if model.config.lesion is not None:
        weight = weight * (1 + (LESIONS - 1) * batch.shares[:, model.config.lesion])
    images, entropy = [], torch.zeros((), device=maps.device)
    for number in range(batch.truth.shape[1]):
        own = batch.contrasts == batch.wanted[:, number, None]
        made = model.harmonize(sources, batch.targets[:, number], own)
        images.append(made.image)
        named = made.fused.beta[:, : len(model.config.tissues) + 1].clamp(min=1e-6).log()
        entropy = entropy - ((batch.shares * named).sum(dim=1) * weight).sum() / weight.sum()
    error = (torch.stack(images, 1) - batch.truth) / batch.scale[..., None, None]
    weight = weight[:, None].expand_as(error)
    losses = {
        "charbonnier": _mean((error.square() + SOFT**2).sqrt() - SOFT, weight),
        "squared": _mean(error.square(), weight),
        "gradients": _gradients(error, weight),
        "entropy": entropy / batch.truth.shape[1],
        "artifacts": _severity_loss(maps[:, :, ARTIFACT], batch.severity),
    }
    share = min(1.0, step / FADED)
    losses["total"] = (
        losses["charbonnier"] + SQUARES * losses["squared"] + GRADIENTS * losses["gradients"]
        + (ENTROPY[0] + share * (ENTROPY[1] - ENTROPY[0])) * losses["entropy"] + ARTIFACTS * losses["artifacts"]
    )  # fmt: skip
    return losses


def _made_ahead(items: Iterator[Batch]) -> Iterator[Batch]:
    """The same items, the next one in the making by a thread while one is used."""
    with ThreadPoolExecutor(1) as maker:
        coming = maker.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = maker.submit(next, items, None)
            yield item


def _severity_loss(artifacts: Tensor, severity: Tensor) -> Tensor:
    """Eta of every pixel (batch, sources, h, w) against its scan's severity (batch, sources), where that is known."""
    known = severity.isfinite()
    if not bool(known.any()):
        return artifacts.new_zeros(())
    wanted = severity[known].clamp(max=WORST)[:, None, None].expand(-1, *artifacts.shape[2:])
    return functional.smooth_l1_loss(artifacts[known], wanted)


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum()


def _gradients(error: Tensor, weight: Tensor) -> Tensor:
    """L1 of the differences between neighbours, rows and columns."""
    rows = _mean(error.diff(dim=-2).abs(), weight[..., 1:, :])
    return rows + _mean(error.diff(dim=-1).abs(), weight[..., 1:])


def train_mixture(
    model: Mixture,
    heads: Sequence[Anatomy],
    unseen: Sequence[Anatomy],
    folder: Path,
    plan: Plan,
    machine: Machine = ALONE,
    sessions: Sequence[PlacedSession] = (),
) -> Mixture:
    """The model trained on simulated crops of ``heads``, validated on ``unseen`` ones; resumes from ``folder``.

    With ``sessions`` of people, every second batch is of their scans, theta measured at the start of each call.
    """
    simulated = MixtureData(heads, plan.seed, machine.device)
    data: list[MixtureData | ScanData] = [simulated]
    if sessions:
        measure = measured_by(model, priors(simulated.tables.to(torch.device("cpu"))), machine.device)
        data.append(ScanData(sessions, measure, plan.seed, machine.device))
    held_out = MixtureValidation(unseen) if unseen else None

    def batches(first: int) -> Iterator[Batch]:
        numbers = range(first * plan.accumulate, plan.steps * plan.accumulate)
        kinds, world, rank = len(data), machine.world, machine.rank
        return _made_ahead(vars(data[n % kinds].batch(n // kinds * world + rank)) for n in numbers)

    def validate(network: nn.Module, step: int) -> Mapping[str, float]:
        assert isinstance(network, Mixture)
        assert held_out is not None
        held_out.draw(network, folder / "figures" / f"step-{step:06d}.png")
        return held_out.scores(network)

    def losses(batch: Batch, step: int) -> Losses:
        return mixture_losses(model, MixtureBatch(**batch), step)

    model.train().to(machine.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fit(model, losses, batches, plan, folder, validate if held_out else None, machine)
    return model.cpu().eval()
