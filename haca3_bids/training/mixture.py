"""Training of the mixture model: the losses of a batch, and a resumable run."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from haca3_bids.networks.mixture import ARTIFACT, Mixture, MixtureConfig, Sources
from haca3_bids.physics.anatomy import Anatomy
from haca3_bids.physics.tissues import TISSUES
from haca3_bids.training.identity import weights_digest
from haca3_bids.training.loop import Batch, Losses, Plan, fit
from haca3_bids.training.machine import ALONE, Machine
from haca3_bids.training.mixture_batches import MixtureBatch, MixtureData
from haca3_bids.training.mixture_export import WORST, priors
from haca3_bids.training.mixture_scans import ScanData, kept_thetas, measured_by
from haca3_bids.training.mixture_validation import MixtureValidation
from haca3_bids.training.scans import PlacedSession

BORDER = 6  # pixels at the border of an image that losses exclude: the encoder lacks context there
SQUARES, GRADIENTS, ARTIFACTS = 2.0, 0.5, 0.2  # weights of losses; that of the Charbonnier loss is 1
ENTROPY = (0.2, 0.02)  # weight of the cross-entropy of beta, initially and from step FADED on
FADED = 6000  # steps
SOFT = 1e-3  # epsilon of the Charbonnier loss sqrt(x^2 + epsilon^2)
OUTSIDE = 0.1  # weight of pixels outside the head
THETAS = "thetas.json"
APART = 1_000_000  # batches between those of two processes; a multiple of the cycle of whole slices
LESIONS = 4.0  # weight of lesions, which are small; that of other tissues is 1


def untrained(seed: int = 0) -> Mixture:
    """A mixture model of the simulator's tissues with random weights."""
    torch.manual_seed(seed)
    return Mixture(MixtureConfig(TISSUES))


def mixture_losses(model: Mixture, batch: MixtureBatch, step: int) -> Losses:
    """The losses of a batch: errors of every target relative to its 95th percentile, of beta and of eta."""
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


def _prefetched(items: Iterator[Batch]) -> Iterator[Batch]:
    """The same items, each made by a thread while the previous one is used."""
    with ThreadPoolExecutor(1) as maker:
        coming = maker.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = maker.submit(next, items, None)
            yield item


def _severity_loss(artifacts: Tensor, severity: Tensor) -> Tensor:
    """Smooth L1 loss of eta maps (batch, sources, h, w) against the severity (batch, sources), NaN where unknown."""
    known = severity.isfinite()
    if not bool(known.any()):
        return artifacts.new_zeros(())
    wanted = severity[known].clamp(max=WORST)[:, None, None].expand(-1, *artifacts.shape[2:])
    return functional.smooth_l1_loss(artifacts[known], wanted)


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum()


def _gradients(error: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean absolute difference of neighbouring errors, along rows plus along columns."""
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

    With real ``sessions``, every second batch is drawn from their scans. Their theta is measured once, with the initial
    weights of ``model``, and kept in ``folder``.
    """
    simulated = MixtureData(heads, plan.seed, machine.device)
    data: list[MixtureData | ScanData] = [simulated]
    if sessions:
        measure = measured_by(model, priors(simulated.tables.to(torch.device("cpu"))), machine.device)
        measure = kept_thetas(sessions, measure, folder / THETAS, weights_digest(model))
        data.append(ScanData(sessions, measure, plan.seed, machine.device))
    held_out = MixtureValidation(unseen) if unseen else None

    def batches(first: int) -> Iterator[Batch]:
        numbers = range(first * plan.accumulate, plan.steps * plan.accumulate)
        kinds, own = len(data), machine.rank * APART
        return _prefetched(vars(data[n % kinds].batch(n // kinds + own)) for n in numbers)

    def validate(network: nn.Module, step: int) -> Mapping[str, float]:
        assert isinstance(network, Mixture)
        assert held_out is not None
        network = copy.deepcopy(network).cpu().eval()
        held_out.draw(network, folder / "figures" / f"step-{step:06d}.png")
        return held_out.scores(network)

    def losses(batch: Batch, step: int) -> Losses:
        return mixture_losses(model, MixtureBatch(**batch), step)

    model.train().to(machine.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fit(model, losses, batches, plan, folder, validate if held_out else None, machine)
    return model.cpu().eval()
