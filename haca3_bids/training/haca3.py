"""Losses of a training step of HACA3: encode the sources, fuse them for the target, decode, compare.

All networks are trained jointly except the artifact encoder, which was trained before. Slices are never cropped, since
crops change the statistics of instance normalization.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from haca3_bids.networks.attention import TRAINING_TEMPERATURE
from haca3_bids.networks.haca3 import Haca3, argmax_beta, one_channel
from haca3_bids.training.loop import Batch, Losses
from haca3_bids.training.losses import kl_to_standard_normal, masked_l1, patch_nce, structural

LAMBDAS = {  # weights of the losses in eq. 2, with the terms of the CVAE separate; paper and released program
    "l1": 10.0,
    "structure": 0.5,
    "kl": 1e-5,
    "contrastive": 0.5,
    "cycle": 5e-2,
}
STRUCTURAL = 5.0  # weight of ``structural`` when it replaces the perceptual loss
CYCLE_BETA = 5e-2  # weight of beta within the cycle loss
PATCH_IN_HEAD = 0.2  # smallest fraction of head in a patch of the contrastive loss

Perceptual = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Stage:
    """A stage of the training curriculum."""

    until: float  # fraction of all steps
    pool: int  # pixel size in mm: 2 (pooled) or 1
    batch: int  # samples
    soft: bool = False  # beta is the softmax; if False, the argmax, as at inference
    cycle: bool = False


CURRICULUM = (
    Stage(0.30, pool=2, batch=3, soft=True),
    Stage(0.60, pool=2, batch=3),
    Stage(1.00, pool=1, batch=2, cycle=True),
)
LAST_STAGE = CURRICULUM[-2].until  # fraction of all steps at which fine-tuning of trained weights begins


def stage_at(progress: float) -> Stage:
    """The stage after a fraction ``progress`` of all steps."""
    return next((stage for stage in CURRICULUM if progress < stage.until), CURRICULUM[-1])


def haca3_losses(model: Haca3, batch: Batch, progress: float, perceptual: Perceptual = structural) -> Losses:
    """All losses of a batch of samples (``simulated.Sample``, ``real.RealSlices``).

    ``progress`` is the fraction of steps already done, ``perceptual`` compares image, truth and mask (batch, 1, h, w).
    """
    stage, sources = stage_at(progress), batch["sources"]
    available = batch["available"]  # (batch, contrasts): the sources that attention may use
    present = batch.get("present", available)  # and all contrasts of the session
    mask = _pooled(batch["mask"][:, None].float(), stage.pool)
    theta, logvar, eta = _codes_of_target(model, batch["reference"])
    query = torch.cat([theta, eta], dim=1)
    keys = _placed(model.codes(sources[available][:, None]), available)
    logits = _placed(model.encode(_pooled(sources[present][:, None], stage.pool)), present)
    alpha = model.attend(keys, query, available[:, :, None, None], TRAINING_TEMPERATURE)
    fused = model.fuse(logits, alpha)
    beta = fused.softmax(dim=1) if stage.soft else straight_through(fused)
    drawn = theta + (0.5 * logvar).exp() * torch.randn_like(theta)
    image = model.decode(beta, drawn / stage.pool) * mask  # coarse images have more border, where theta acts
    terms = {
        **_reconstruction(image, batch, mask, stage, perceptual),
        "kl": kl_to_standard_normal(theta, logvar),
        "contrastive": _contrastive(model, logits, sources, present, mask, stage.pool),
    }
    if stage.cycle:
        terms["cycle"] = _cycle(model, image, query, beta)
    return weighted(terms, LAMBDAS | ({"structure": STRUCTURAL} if perceptual is structural else {}))


def weighted(terms: Losses, lambdas: Mapping[str, float]) -> Losses:
    """The losses multiplied by their lambdas, and their sum as ``total`` (eq. 2 of HACA3).

    The contrastive loss of eta is absent because its encoder was trained before (``artifact``).
    """
    losses = {name: lambdas[name] * loss for name, loss in terms.items()}
    return losses | {"total": torch.stack(list(losses.values())).sum()}


def _codes_of_target(model: Haca3, reference: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and log-variance of theta, and eta, (batch, 2) each, averaged over slices (batch, slices, 224, 224)."""
    slices = reference.flatten(0, 1)[:, None]
    mean, logvar, eta = (
        code.unflatten(0, reference.shape[:2]).mean(dim=1)
        for code in (*model.theta_encoder(slices), model.eta_encoder(slices))
    )
    return mean, logvar, eta


def _placed(rows: Tensor, where: Tensor) -> Tensor:
    """Scatter ``rows`` to the true elements of ``where``: (batch, contrasts, ...), zeros elsewhere."""
    out = rows.new_zeros(*where.shape, *rows.shape[1:])
    out[where] = rows
    return out


def _pooled(images: Tensor, pool: int) -> Tensor:
    """Average pooling with windows of pool x pool pixels."""
    return functional.avg_pool2d(images, pool) if pool > 1 else images


def straight_through(logits: Tensor) -> Tensor:
    """The one-hot argmax of (batch, levels, h, w), with the gradient of the softmax (straight-through estimator)."""
    soft = logits.softmax(dim=1)
    return soft + (argmax_beta(logits) - soft).detach()


def _reconstruction(image: Tensor, batch: Batch, mask: Tensor, stage: Stage, perceptual: Perceptual) -> Losses:
    """Losses against the true image, for samples that have one: targets of other sites do not."""
    truth = _pooled(batch["truth"][:, None], stage.pool) * mask
    if "paired" in batch:
        mask = mask * batch["paired"][:, None, None, None]
    return {"l1": masked_l1(image, truth, mask), "structure": perceptual(image * mask, truth * mask, mask)}


def _contrastive(model: Haca3, logits: Tensor, sources: Tensor, present: Tensor, mask: Tensor, pool: int) -> Tensor:
    """Contrastive loss (eq. 1) between the first and last contrast of each session that has several."""
    rows = (present.sum(dim=1) > 1).nonzero()[:, 0]
    if len(rows) == 0:
        return logits.new_zeros(())
    first = present.int().argmax(dim=1)[rows]
    last = present.shape[1] - 1 - present.int().flip(1).argmax(dim=1)[rows]
    in_head = functional.avg_pool2d(mask[rows], 32).flatten() > PATCH_IN_HEAD
    if int(in_head.sum()) < 2:
        return logits.new_zeros(())

    def features(images: Tensor) -> Tensor:  # (sessions, 1, h, w) -> (patches in heads, 128)
        out: Tensor = model.patchifier(images).flatten(2).transpose(1, 2).flatten(0, 1)[in_head]
        return out

    query = features(one_channel(logits[rows, first].softmax(dim=1)))
    positive = features(one_channel(logits[rows, last].softmax(dim=1)))
    source = features(_pooled(sources[rows, first][:, None], pool))
    others = torch.stack([torch.cat([positive[:i], positive[i + 1 :]]) for i in range(len(positive))])
    return patch_nce(query, positive, torch.cat([others, source[:, None]], dim=1))


def _cycle(model: Haca3, image: Tensor, query: Tensor, beta: Tensor) -> Tensor:
    """Cycle loss: the harmonized image has the theta, eta and beta it was made from (paper, section 2.4)."""
    codes_loss = (model.codes(image) - query.detach()).abs()  # (batch, 4)
    beta_loss = (model.encode(image).softmax(dim=1) - beta.detach()).abs().mean()
    return codes_loss[:, :2].mean() + codes_loss[:, 2:].mean() + CYCLE_BETA * beta_loss
