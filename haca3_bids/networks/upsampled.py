"""3 x 3 convolution of an image that was upsampled to twice its size, computed at its former size.

Each of the four pixels that repeat one pixel sees only 2 x 2 different pixels, so that its kernel is 2 x 2 sums of the
3 x 3 weights: 4/9 of the multiplications, and no upsampled image (Shi et al., arXiv 1609.07009, 2016). Bilinear
upsampling is repetition followed by smoothing with (1, 2, 1) / 4, and the convolution may come before the smoothing.
"""

import torch
from torch import Tensor
from torch.nn import functional

SMOOTHING = (0.25, 0.5, 0.25)  # turns repeated pixels into those of bilinear interpolation


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


def shuffled_kernels(weight: Tensor) -> Tensor:
    """The kernels of ``phase_kernels`` in the order of ``pixel_shuffle``, from bottom right to top left."""
    out, phases = len(weight), phase_kernels(weight)
    return phases.reshape(4, out, *phases.shape[1:]).flip(0).transpose(0, 1).flatten(0, 1)


def convolved_bilinear(low: Tensor, weight: Tensor, bias: Tensor | None, kernels: Tensor) -> Tensor:
    """The zero-padded convolution of ``low`` (batch, in, h, w), upsampled bilinearly: (batch, out, 2h, 2w).

    ``kernels`` are ``shuffled_kernels`` of the 3 x 3 ``weight``. The image is continued beyond its edges before it is
    smoothed. What the continuation adds to the pixels at the edges is subtracted in the end.
    """
    wide = functional.pad(low, (1, 1, 1, 1), mode="replicate")
    phases = functional.conv2d(wide, kernels, None if bias is None else bias.repeat_interleave(4))
    repeated = functional.pixel_shuffle(phases, 2)  # one pixel larger at every edge
    smoothing = torch.tensor(SMOOTHING, dtype=low.dtype, device=low.device)
    square = (smoothing[:, None] * smoothing).expand(len(weight), 1, 3, 3)
    image = functional.conv2d(repeated, square, groups=len(weight))
    for edge in (0, -1):
        image[:, :, edge] -= _convolved_line(_upsampled_line(low[:, :, edge]), weight[:, :, edge], continued=True)
        image[..., edge] -= _convolved_line(_upsampled_line(low[..., edge]), weight[..., edge], continued=False)
    return image


def _upsampled_line(line: Tensor) -> Tensor:
    return functional.interpolate(line, scale_factor=2, mode="linear", align_corners=False)


def _convolved_line(line: Tensor, weight: Tensor, *, continued: bool) -> Tensor:
    """The convolution of lines (batch, in, n) by matrix products; beyond their ends they are ``continued`` or zero."""
    line = functional.pad(line, (1, 1), mode="replicate") if continued else functional.pad(line, (1, 1))
    taps = line.unfold(2, 3, 1).transpose(1, 2).flatten(2)  # (batch, n, 3 in)
    return (taps @ weight.flatten(1).T).transpose(1, 2)
