"""The losses of HACA3, each with its source; "paper" is Zuo et al., CMIG 109:102285 (2023)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

NCE_TEMPERATURE = 0.1


def masked_l1(image: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference inside the mask; all (batch, 1, h, w). Paper, eq. 2, the reconstruction of the CVAE."""
    return ((image - truth).abs() * mask).sum() / mask.sum().clamp_min(1)


def structural(image: Tensor, truth: Tensor, mask: Tensor, scales: int = 3) -> Tensor:
    """Differences of gradients at several scales; stands in for the perceptual loss where VGG16 is not at hand."""
    total = image.new_zeros(())
    for _ in range(scales):
        for axis in (-2, -1):
            total = total + (((image.diff(dim=axis) - truth.diff(dim=axis)).abs()) * _inner(mask, axis)).sum() / (
                mask.sum().clamp_min(1)
            )
        image, truth, mask = (functional.avg_pool2d(x, 2) for x in (image, truth, mask))
    return total / scales


def _inner(mask: Tensor, axis: int) -> Tensor:
    length = mask.shape[axis]
    return mask.narrow(axis, 1, length - 1) * mask.narrow(axis, 0, length - 1)


def kl_to_standard_normal(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL divergence of theta's distribution from N(0, 1), mean over the batch (Kingma and Welling 2014, appendix B)."""
    return -0.5 * (1 + logvar - mean**2 - logvar.exp()).sum(dim=1).mean()


def patch_nce(query: Tensor, positive: Tensor, negatives: Tensor) -> Tensor:
    """Contrastive loss on anatomy, paper eq. 1: a patch of one contrast's beta finds the same patch of another's.

    ``query`` (patches, features), ``positive`` likewise, ``negatives`` (patches, N, features); positives and negatives
    carry no gradient, as in the released program.
    """
    query, positive, negatives = (
        functional.normalize(x, dim=-1) for x in (query, positive.detach(), negatives.detach())
    )
    alike = (query * positive).sum(dim=-1, keepdim=True)
    unlike = torch.einsum("pf,pnf->pn", query, negatives)
    logits = torch.cat([alike, unlike], dim=1) / NCE_TEMPERATURE
    return functional.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))


def severity_margin(anchor: Tensor, positive: Tensor, negative: Tensor, severity: Tensor) -> Tensor:
    """Triplet loss on eta, (batch, 2) each, whose margin is the severity (batch,) of the simulated artifact.

    Hays et al., MIDL 2025 (artifact encoder of HACA3+).
    """
    near = (anchor - positive).norm(dim=1)
    far = (anchor - negative).norm(dim=1)
    out: Tensor = functional.relu(near - far + severity).mean() + 0.1 * near.mean()
    return out
