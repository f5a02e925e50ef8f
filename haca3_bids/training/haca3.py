"""One training step of HACA3: encode the sources, fuse them for the target, decode, compare.

On simulated slices the anatomy encoder comes trained on tissue labels (``training.anatomy``). At first the decoder
learns what contrast is, told the true levels and contrast codes, while theta learns those codes; then it learns from
the anatomy that is found, and for the last third all learn together, at 1 mm: the encoder then gives up levels that it
cannot tell apart for probabilities that serve the image. On scans of people nothing is told: anatomy is soft at first.
Whole slices, never crops: crops change the statistics of instance normalization.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from haca3_bids.networks.attention import TRAINING_TEMPERATURE
from haca3_bids.networks.haca3 import Haca3, argmax_beta, fuse, one_channel
from haca3_bids.training.levels import LEVELS
from haca3_bids.training.loop import Batch, Losses
from haca3_bids.training.losses import (
    kl_to_standard_normal,
    masked_l1,
    patch_nce,
    structural,
    tissue_cross_entropy,
)

RECONSTRUCTION, PERCEPTUAL, KL, CONTRASTIVE = 10.0, 0.5, 1e-5, 0.5  # weights of the losses; paper and released program
STRUCTURE = 5.0  # of the structural loss, which stands in for the perceptual one
CYCLE, CYCLE_BETA = 5e-2, 5e-2
CODES = 0.2  # of the auxiliary contrast codes, relative to the tissue labels
THETA_NOISE = 0.4  # on the theta that the decoder sees while anatomy is that of the frozen encoder
PATCH_IN_HEAD = 0.2  # least share of head in a patch of the contrastive loss

Perceptual = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Stage:
    """A part of the curriculum."""

    until: float  # share of all steps
    pool: int  # 4, 2 or 1 mm
    batch: int
    anatomy: str  # "told" (true levels), "found" (by the frozen encoder); all together: "soft", or as at "inference"
    labels: float = 0.0  # weight of the auxiliary tissue labels and contrast codes at the start of the stage
    labels_end: float = 0.0
    cycle: bool = False

    @property
    def together(self) -> bool:
        """Whether all parts learn, from nothing that only a simulator knows."""
        return self.anatomy not in ("told", "found")


SIMULATED = (  # small batches: the decoder needs many steps, not many images, to find out what theta is for
    Stage(0.40, 4, 2, "told", 1.0, 1.0),  # a sixteenth of the price of 1 mm: here the decoder learns most
    Stage(0.52, 2, 2, "told", 1.0, 1.0),  # straight from 4 to 1 mm it forgets most of it
    Stage(0.60, 1, 1, "found", 1.0, 0.5),
    Stage(1.00, 1, 1, "inference", 0.5, 0.1, cycle=True),
)
REAL = (
    Stage(0.30, 2, 3, "soft"),
    Stage(0.60, 2, 3, "inference"),
    Stage(1.00, 1, 2, "inference", cycle=True),
)
TOGETHER = 0.60  # where weights that are already trained begin, in either curriculum


def stage_at(progress: float, curriculum: Sequence[Stage] = SIMULATED) -> tuple[Stage, float]:
    """The stage at a share of all steps, and how far into it that is."""
    start = 0.0
    for stage in curriculum[:-1]:
        if progress < stage.until:
            return stage, (progress - start) / (stage.until - start)
        start = stage.until
    return curriculum[-1], (progress - start) / (1 - start)


def haca3_losses(
    model: Haca3,
    batch: Batch,
    progress: float,
    curriculum: Sequence[Stage] = SIMULATED,
    perceptual: Perceptual = structural,
) -> Losses:
    """All losses of a batch of samples (``simulated.Sample``, ``real.RealSlices``).

    ``progress`` is the share of all steps already done, ``perceptual`` compares image, truth and mask (batch, 1, h, w).
    """
    stage, inside = stage_at(progress, curriculum)
    labels = stage.labels + (stage.labels_end - stage.labels) * inside
    losses = (_together if stage.together else _apart)(model, batch, stage, perceptual)
    for name, weight in (("codes", CODES), ("labels", 1.0)):  # of what only the simulator knows
        if name in losses:
            losses[name] = weight * labels * losses[name]
    losses["total"] = torch.stack(list(losses.values())).sum()
    return losses


def _apart(model: Haca3, batch: Batch, stage: Stage, perceptual: Perceptual) -> Losses:
    """Decoder and theta, given the anatomy; contrast codes are told where the anatomy is."""
    mask = _pooled(batch["mask"][:, None].float(), stage.pool)
    theta, logvar = _target_theta(model, batch["reference"])
    if stage.anatomy == "told":
        anatomy = _pooled(batch["level"][:, None] / model.config.beta_dim, stage.pool)
        image = _decoded(model, anatomy, batch["code"], stage) * mask
    else:
        image = _decoded(model, _found(model, batch), theta + THETA_NOISE * torch.randn_like(theta), stage) * mask
    return {**_reconstruction(image, batch, mask, stage, perceptual), **_about_theta(theta, logvar, batch)}


@torch.no_grad()
def _found(model: Haca3, batch: Batch) -> Tensor:
    """What the anatomy encoder makes of each session's first source, (batch, 1, 224, 224)."""
    first = batch["available"].int().argmax(dim=1)
    sources = batch["sources"][torch.arange(len(first)), first][:, None]
    return one_channel(model.anatomy(model.beta_encoder(sources)))


def _together(model: Haca3, batch: Batch, stage: Stage, perceptual: Perceptual) -> Losses:
    """The whole network: beta of every source, fused by attention, decoded with the theta of the reference."""
    available = batch["available"]  # (batch, contrasts): what attention may choose from
    present = batch.get("present", available)  # and what the session has
    mask = _pooled(batch["mask"][:, None].float(), stage.pool)
    sources = batch["sources"][present][:, None]  # (images, 1, 224, 224)
    logits = model.beta_encoder(_pooled(sources, stage.pool))  # (images, levels, h, w)
    theta, logvar = _target_theta(model, batch["reference"])
    drawn = theta + (0.5 * logvar).exp() * torch.randn_like(theta)
    query, keys = _queries_and_keys(model, batch, theta)
    alpha = model.attention_module(query, keys, available, TRAINING_TEMPERATURE)
    spread = logits.new_zeros(*present.shape, *logits.shape[1:])
    spread[present] = logits
    fused = fuse(spread, alpha)
    soft = "soft" in (stage.anatomy, model.config.anatomy)
    beta = fused.softmax(dim=1) if soft else straight_through(fused)
    image = _decoded(model, one_channel(beta), drawn, stage) * mask
    losses = {
        **_reconstruction(image, batch, mask, stage, perceptual),
        **_about_theta(theta, logvar, batch),
        "contrastive": CONTRASTIVE * _contrastive(model, spread, batch["sources"], present, mask, stage.pool),
    }
    if "level" in batch and model.config.beta_dim == len(LEVELS):  # weights with levels of their own keep them
        owner = present.nonzero()[:, 0]
        losses["labels"] = tissue_cross_entropy(logits, batch["level"][owner], mask[owner], stage.pool)
    if stage.cycle:
        losses["cycle"] = _cycle(model, image, theta, query[:, 2:], beta)
    return losses


def _decoded(model: Haca3, anatomy: Tensor, theta: Tensor, stage: Stage) -> Tensor:
    return model.decode(anatomy, theta / stage.pool)  # a coarse plane has relatively more border, where theta is felt


def _reconstruction(image: Tensor, batch: Batch, mask: Tensor, stage: Stage, perceptual: Perceptual) -> Losses:
    """Against the truth, where it is known: a target of another site has none."""
    truth = _pooled(batch["truth"][:, None], stage.pool) * mask
    if "paired" in batch:
        mask = mask * batch["paired"][:, None, None, None]
    weight = STRUCTURE if perceptual is structural else PERCEPTUAL
    return {
        "l1": RECONSTRUCTION * masked_l1(image, truth, mask),
        "structure": weight * perceptual(image * mask, truth * mask, mask),
    }


def _about_theta(theta: Tensor, logvar: Tensor, batch: Batch) -> Losses:
    losses = {"kl": KL * kl_to_standard_normal(theta, logvar)}
    if "code" in batch:
        losses["codes"] = (theta - batch["code"]).abs().mean()
    return losses


def straight_through(logits: Tensor) -> Tensor:
    """argmax, one-hot, with the gradient of softmax."""
    soft = logits.softmax(dim=1)
    return soft + (argmax_beta(logits) - soft).detach()


def _pooled(images: Tensor, pool: int) -> Tensor:
    """Means over pool x pool pixels; at 4 mm the plane is first padded to 256, which the U-Net can halve four times."""
    if pool == 4:
        images = functional.pad(images, [16] * 4)
    return functional.avg_pool2d(images, pool) if pool > 1 else images


def _target_theta(model: Haca3, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log-variance of theta over the reference's slices (batch, slices, 224, 224)."""
    mean, logvar = model.theta_encoder(reference.flatten(0, 1)[:, None])
    return mean.unflatten(0, reference.shape[:2]).mean(1), logvar.unflatten(0, reference.shape[:2]).mean(1)


def _queries_and_keys(model: Haca3, batch: Batch, theta_target: Tensor) -> tuple[Tensor, Tensor]:
    """[theta, eta] of the target (batch, 4) and of the sources (batch, contrasts, 4).

    Artifact levels of sources matter only where there is a choice: they are left at zero for sessions of one source.
    """
    available, sources, reference = batch["available"], batch["sources"], batch["reference"]
    keys = theta_target.new_zeros(*available.shape, 4)
    keys[..., :2][available] = model.theta_encoder(sources[available][:, None])[0]
    chosen = available & (available.sum(dim=1, keepdim=True) > 1)
    with torch.no_grad():
        eta_target = model.eta_encoder(reference.flatten(0, 1)[:, None]).unflatten(0, reference.shape[:2]).mean(dim=1)
        if bool(chosen.any()):
            keys[..., 2:][chosen] = model.eta_encoder(sources[chosen][:, None]).to(keys.dtype)
    return torch.cat([theta_target, eta_target.to(theta_target.dtype)], dim=1), keys


def _contrastive(model: Haca3, spread: Tensor, sources: Tensor, present: Tensor, mask: Tensor, pool: int) -> Tensor:
    """Eq. 1 between the first and the last contrast of each session with two or more."""
    rows = (present.sum(dim=1) > 1).nonzero()[:, 0]
    if len(rows) == 0:
        return spread.new_zeros(())
    first = present.int().argmax(dim=1)[rows]
    last = present.shape[1] - 1 - present.int().flip(1).argmax(dim=1)[rows]
    in_head = functional.avg_pool2d(mask[rows], 32).flatten() > PATCH_IN_HEAD
    if int(in_head.sum()) < 2:
        return spread.new_zeros(())

    def features(images: Tensor) -> Tensor:  # (sessions, 1, h, w) -> (patches in heads, 128)
        out: Tensor = model.patchifier(images).flatten(2).transpose(1, 2).flatten(0, 1)[in_head]
        return out

    query = features(one_channel(spread[rows, first].softmax(dim=1)))
    positive = features(one_channel(spread[rows, last].softmax(dim=1)))
    source = features(_pooled(sources[rows, first][:, None], pool))
    others = torch.stack([torch.cat([positive[:i], positive[i + 1 :]]) for i in range(len(positive))])
    return patch_nce(query, positive, torch.cat([others, source[:, None]], dim=1))


def _cycle(model: Haca3, image: Tensor, theta: Tensor, eta: Tensor, beta: Tensor) -> Tensor:
    """Theta, eta and beta of the harmonized image are what it was made from (paper, section 2.4)."""
    theta_loss = (model.theta_encoder(image)[0] - theta.detach()).abs().mean()
    eta_loss = (model.eta_encoder(image) - eta).abs().mean()
    beta_loss = (model.beta_encoder(image).softmax(dim=1) - beta.detach()).abs().mean()
    out: Tensor = CYCLE * (theta_loss + eta_loss + CYCLE_BETA * beta_loss)
    return out
