"""3 x 3 convolution of an image that was upsampled to twice its size by repetition, computed at its former size.

Each of the four pixels that repeat one pixel sees only 2 x 2 different pixels, so that its kernel is 2 x 2 sums of the
3 x 3 weights: 4/9 of the multiplications, and no upsampled image (Shi et al., arXiv 1609.07009, 2016).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def phase_kernels(weight: Tensor) -> Tensor:
    """Kernels (4 out, in, 2, 2) of the top left, top right, bottom left and bottom right pixels; weight 3 x 3."""
    return torch.cat([column for row in _halves(weight, dim=2) for column in _halves(row, dim=3)])


def _halves(weight: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    before, same, after = weight.unbind(dim)
    return torch.stack([before, same + after], dim), torch.stack([before + same, after], dim)


def add_upsampled_(image: Tensor, low: Tensor, kernels: Tensor) -> Tensor:
    """Add the zero-padded convolution of ``low`` (batch, in, h, w), upsampled, to ``image`` (batch, out, 2h, 2w)."""
    height, width = low.shape[-2:]
    for number, phase in enumerate(functional.conv2d(low, kernels, padding=1).chunk(4, dim=1)):
        top, left = divmod(number, 2)
        image[..., top::2, left::2] += phase[..., top : top + height, left : left + width]
    return image
