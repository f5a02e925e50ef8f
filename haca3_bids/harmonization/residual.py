"""What a source shows beyond the networks' own image of it, its residual: a share is carried into the harmonized image.

Anatomy passes through one number a pixel, and what does not fit into it (a lesion, a thin sulcus, a tissue unlike that
of other people) is lost. It is not lost in the source, whose own contrast the networks can decode as well:

    y = D(beta, theta_target) + w a (x - D(beta, theta_x)),    a = alpha_x / max alpha

x being the source of the target's contrast and alpha the attention to it. Where both contrasts are the same and w a is
one, harmonization changes nothing. The article has no such term (w = 0); half of the residual is what served best on
validation heads (docs/explanation/model-card.md).
"""

from __future__ import annotations

import torch
from torch import Tensor

from haca3_bids.errors import UsageError
from haca3_bids.networks.haca3 import Haca3Config
from haca3_bids.settings import HarmonizationSettings

SHARE = {"argmax": 0.0, "soft": 0.5}  # by the anatomy that the weights were trained with: argmax is the authors'
TINY = 1e-6  # attention that is none


def share(asked: float | None, settings: HarmonizationSettings, config: Haca3Config) -> float:
    """The share of what the article does not have: as asked, else as goes with the weights; 0 where like the authors.

    UsageError when it is not from 0 to 1.
    """
    taken = SHARE[config.anatomy] if asked is None else asked
    if not 0 <= taken <= 1:
        raise UsageError(f"A share of {taken:g} is not possible.", "Give a number from 0 to 1.")
    return 0.0 if settings.like_authors else taken


def with_residual(image: Tensor, source: Tensor, own: Tensor, alpha: Tensor, number: int, weight: float) -> Tensor:
    """The harmonized image with ``weight`` of the residual of source ``number``, not below zero.

    ``image``, ``source`` and ``own`` (the source as the networks decode it) are (batch, h, w), as is the result;
    ``alpha`` is (batch, sources, h, w).
    """
    share = weight * alpha[:, number] / alpha.amax(dim=1).clamp_min(TINY)
    return torch.clamp(image + share * (source - own), min=0)
