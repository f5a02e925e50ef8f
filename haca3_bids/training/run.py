"""Training runs: which data, which steps, which networks; each can be stopped and called again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from haca3_bids.networks.encoders import ArtifactEncoder
from haca3_bids.networks.haca3 import Haca3
from haca3_bids.networks.unet import UNet
from haca3_bids.physics.anatomy import Anatomy
from haca3_bids.settings import CONTRASTS
from haca3_bids.training.anatomy import BATCH as ANATOMY_BATCH
from haca3_bids.training.anatomy import T1W_ALONE, AnatomySlices, anatomy_step
from haca3_bids.training.artifact import ArtifactTriplets, artifact_step
from haca3_bids.training.haca3 import haca3_losses, stage_at
from haca3_bids.training.loop import Batch, Plan, fit
from haca3_bids.training.simulated import SimulatedSlices
from haca3_bids.training.validation import draw_figure, score

ARTIFACT_BATCH = 2
THETA_GAIN, THETA_LOGVAR = 25.0, -2.0
VALIDATION_SEED = 1_000_003
VALIDATION_SAMPLES = 24


def train_artifact(
    heads: Sequence[Anatomy], folder: Path, plan: Plan, seed: int = 0, workers: int = 1
) -> ArtifactEncoder:
    """The artifact encoder, trained on simulated triplets; resumes from ``folder``."""
    torch.manual_seed(seed)
    encoder = ArtifactEncoder()
    data = ArtifactTriplets(heads, seed)

    def batches(first: int) -> Iterator[Batch]:
        return _batches(data, lambda step: ARTIFACT_BATCH, first, plan.steps, workers)

    fit(encoder, lambda batch, step: artifact_step(encoder, batch), batches, plan, folder)
    return encoder.eval()


def train_anatomy(heads: Sequence[Anatomy], folder: Path, plan: Plan, seed: int = 0, workers: int = 1) -> UNet:
    """The anatomy encoder, trained on tissue levels; resumes from ``folder``."""
    torch.manual_seed(seed)
    encoder: UNet = Haca3().beta_encoder
    data = AnatomySlices(heads, seed, t1w_until=round(T1W_ALONE * plan.steps) * ANATOMY_BATCH)

    def batches(first: int) -> Iterator[Batch]:
        return _batches(data, lambda step: ANATOMY_BATCH, first, plan.steps, workers)

    fit(encoder, lambda batch, step: anatomy_step(encoder, batch, step / plan.steps), batches, plan, folder)
    return encoder.eval()


def untrained(artifact: ArtifactEncoder, anatomy: UNet) -> Haca3:
    """HACA3 with trained encoders of artifact and anatomy, everything else at its beginning."""
    model = Haca3()
    _enlarge_theta(model)
    model.eta_encoder.load_state_dict(artifact.state_dict())
    model.beta_encoder.load_state_dict(anatomy.state_dict())
    return model


def train_haca3(
    model: Haca3,
    heads: Sequence[Anatomy],
    validation_heads: Sequence[Anatomy],
    folder: Path,
    plan: Plan,
    seed: int = 0,
    workers: int = 1,
    begin: float = 0.0,
) -> Haca3:
    """HACA3, its artifact encoder frozen, trained through the curriculum from ``begin`` on; resumes from ``folder``."""
    torch.manual_seed(seed)
    model.requires_grad_(True).train()
    model.eta_encoder.requires_grad_(False)
    data = SimulatedSlices(heads, seed)
    unseen = SimulatedSlices(validation_heads, VALIDATION_SEED)
    held_out = [unseen[i] for i in range(VALIDATION_SAMPLES)] if validation_heads else []

    def progress(step: int) -> float:
        return begin + (1 - begin) * step / plan.steps

    def validate(step: int) -> Mapping[str, float]:
        draw_figure(model, held_out[:6], folder / "figures" / f"step-{step:06d}.png")
        return score(model, held_out, CONTRASTS)

    fit(
        model,
        lambda batch, step: haca3_losses(model, batch, progress(step)),
        lambda first: _batches(data, lambda step: stage_at(progress(step))[0].batch, first, plan.steps, workers),
        plan,
        folder,
        validate if held_out else None,
    )
    model.eval()
    return model


def _enlarge_theta(model: Haca3) -> None:
    """Begin with a theta of some tens and little noise: a small one is lost in the decoder's instance norms."""
    encoder = model.theta_encoder
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if name == "mean_conv.3.weight":
                parameter.mul_(THETA_GAIN)
            elif name == "logvar_conv.3.bias":
                parameter.fill_(THETA_LOGVAR)


def _batches(
    data: Dataset[dict[str, torch.Tensor | int]], size: Callable[[int], int], first: int, steps: int, workers: int
) -> Iterator[Batch]:
    """Batches of consecutive items; batch sizes may change with the step, the items of a step are always the same."""
    sizes = [size(step) for step in range(steps)]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    index_lists = [range(starts[step], starts[step + 1]) for step in range(first, steps)]
    loader = DataLoader(
        data,
        batch_sampler=index_lists,  # type: ignore[arg-type]
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_one_thread,
    )
    return iter(loader)


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)
