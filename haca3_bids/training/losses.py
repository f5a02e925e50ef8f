"""The losses of HACA3, each with its source; "paper" is Zuo et al., CMIG 109:102285 (2023)."""

import torch
from torch import Tensor
from torch.nn import functional

NCE_TEMPERATURE = 0.1


def masked_l1(image: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference inside the mask, all (batch, 1, h, w): the reconstruction loss in eq. 2 of the paper."""
    return ((image - truth).abs() * mask).sum() / mask.sum().clamp_min(1)


def structural(image: Tensor, truth: Tensor, mask: Tensor, scales: int = 3) -> Tensor:
    """Mean absolute difference of gradients at several scales; replaces the perceptual loss if VGG16 is not given."""
    total = image.new_zeros(())
    for _ in range(scales):
        for axis in (-2, -1):
            total = total + (((image.diff(dim=axis) - truth.diff(dim=axis)).abs()) * _inner(mask, axis)).sum() / (
                mask.sum().clamp_min(1)
            )
        image, truth, mask = (functional.avg_pool2d(x, 2) for x in (image, truth, mask))
    return total / scales


def _inner(mask: Tensor, axis: int) -> Tensor:
    """The mask of neighbouring pairs of pixels along ``axis`` that both lie in ``mask``."""
    length = mask.shape[axis]
    return mask.narrow(axis, 1, length - 1) * mask.narrow(axis, 0, length - 1)


def kl_to_standard_normal(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL divergence from the standard normal, mean over the batch (Kingma and Welling 2014, appendix B)."""
    return -0.5 * (1 + logvar - mean**2 - logvar.exp()).sum(dim=1).mean()


def patch_nce(query: Tensor, positive: Tensor, negatives: Tensor) -> Tensor:
    """Contrastive loss on anatomy (eq. 1 of the paper), which makes patches of beta alike in two contrasts.

    ``query`` and ``positive`` are (patches, features), ``negatives`` (patches, N, features). Only ``query`` carries a
    gradient, as in the released program.
    """
    query, positive, negatives = (
        functional.normalize(x, dim=-1) for x in (query, positive.detach(), negatives.detach())
    )
    alike = (query * positive).sum(dim=-1, keepdim=True)
    unlike = torch.einsum("pf,pnf->pn", query, negatives)
    logits = torch.cat([alike, unlike], dim=1) / NCE_TEMPERATURE
    return functional.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))


def severity_margin(anchor: Tensor, positive: Tensor, negative: Tensor, severity: Tensor) -> Tensor:
    """Triplet loss on eta, (batch, 2) each, with the severity (batch,) of the simulated artifact as its margin.

    Hays et al., MIDL 2025 (artifact encoder of HACA3+).
    """
    near = (anchor - positive).norm(dim=1)
    far = (anchor - negative).norm(dim=1)
    out: Tensor = functional.relu(near - far + severity).mean() + 0.1 * near.mean()
    return out
