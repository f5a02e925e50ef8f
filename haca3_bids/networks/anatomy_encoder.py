"""The anatomy encoder of the mixture model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from haca3_bids.networks.theta import log_theta, theta_network
from haca3_bids.networks.upsampled import add_upsampled_, phase_kernels

if TYPE_CHECKING:
    from haca3_bids.networks.mixture import MixtureConfig

Step = Callable[..., Tensor]  # a block, or the encoder, for one theta


class AnatomyEncoder(nn.Module):
    """U-Net at half resolution, conditioned on theta; with batch norm, which does not depend on the slice."""

    def __init__(self, config: MixtureConfig) -> None:
        super().__init__()
        widths = config.widths
        self.down = nn.ModuleList(
            Block(before, after, config) for before, after in zip((4, *widths), widths, strict=False)
        )
        self.up = nn.ModuleList(
            Block(widths[i], widths[i], config, below=widths[i + 1]) for i in reversed(range(len(widths) - 1))
        )
        self.out = nn.Conv2d(widths[0] + 4, 4 * config.channels, 3, padding=1)

    def forward(self, x: Tensor, theta: Tensor) -> Tensor:
        read = log_theta(theta)
        return self._through(x, *([partial(block, read=read) for block in blocks] for blocks in (self.down, self.up)))

    def folded(self, theta: Tensor) -> Step:
        """The encoder for one theta (1, tissues), with norms and modulation folded into the convolutions.

        In evaluation mode, it is equal up to rounding and faster.
        """
        read = log_theta(theta)
        down, up = ([block.folded(read) for block in blocks] for blocks in (self.down, self.up))  # type: ignore[operator]
        return partial(self._through, down=down, up=up)

    def _through(self, x: Tensor, down: Sequence[Step], up: Sequence[Step]) -> Tensor:
        shown = x = functional.pixel_unshuffle(torch.log1p(2 * x.clamp(min=0)), 2)
        skips = []
        for number, block in enumerate(down):
            x = block(functional.max_pool2d(x, 2) if number else x)
            skips.append(x)
        skips.pop()
        for block in up:
            x = block(skips.pop(), low=x)
        out: Tensor = functional.pixel_shuffle(self.out(torch.cat([shown, x], dim=1)), 2)
        return out


class Block(nn.Module):
    """Two 3 x 3 convolutions with batch norm, the second modulated by theta (FiLM; Perez et al., AAAI 2018).

    Inputs are (batch, in_channels, h, w) and, from the level below, ``low`` (batch, below, h / 2, w / 2).
    """

    def __init__(self, in_channels: int, out_channels: int, config: MixtureConfig, below: int = 0) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.first = nn.Conv2d(in_channels + below, out_channels, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(out_channels)
        self.second = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(out_channels)
        self.film = theta_network(len(config.tissues), config.hidden, 2 * out_channels)

    def forward(self, x: Tensor, read: Tensor, low: Tensor | None = None) -> Tensor:
        if low is not None:
            x = torch.cat([x, functional.interpolate(low, scale_factor=2.0)], dim=1)
        x = functional.relu(self.first_norm(self.first(x)))
        x = self.second_norm(self.second(x))
        scale, shift = self.film(read)[:, :, None, None].chunk(2, dim=1)
        return functional.relu(x + x * scale + shift)

    def folded(self, read: Tensor) -> Step:
        """An equivalent of two plain convolutions for one ``read`` (1, tissues), log theta, in evaluation mode."""
        scale, shift = self.film(read)[0].chunk(2)
        first, second = _folded(self.first, self.first_norm), _folded(self.second, self.second_norm)
        second = (second[0] * (1 + scale)[:, None, None, None], second[1] * (1 + scale) + shift)
        weight, bias = first[0][:, : self.in_channels], first[1]
        kernels = phase_kernels(first[0][:, self.in_channels :])

        def step(x: Tensor, low: Tensor | None = None) -> Tensor:
            x = functional.conv2d(x, weight, bias, padding=1)
            x = functional.relu_(x if low is None else add_upsampled_(x, low, kernels))
            return functional.relu_(functional.conv2d(x, *second, padding=1))

        return step


def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution that includes the norm."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = norm.weight / (norm.running_var + norm.eps).sqrt()
    return conv.weight * gain[:, None, None, None], norm.bias - norm.running_mean * gain
