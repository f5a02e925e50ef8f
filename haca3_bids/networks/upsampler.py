"""A small network that restores the detail between thick slices, trained on the image itself."""

from typing import cast

import torch
from torch import Tensor, nn

CHANNELS = 32
BLOCKS = 3  # residual blocks of two convolutions: the receptive field is 8 slices to either side


class Upsampler(nn.Module):
    """Residuals of thin slices (batch, factor * slices, columns), from thick ones (batch, 1, slices, columns).

    As in SMORE (Zhao et al., IEEE TMI 2021), it is trained on the image itself. Convolutions run on the coarse grid;
    their output channels are rearranged along the slice axis.
    """

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.first = nn.Conv2d(1, CHANNELS, 3, padding=1, padding_mode="replicate")
        self.blocks = nn.ModuleList(_Block() for _ in range(BLOCKS))
        self.last = nn.Conv2d(CHANNELS, factor, 3, padding=1, padding_mode="replicate")
        nn.init.zeros_(self.last.weight)  # initially, residuals are zero
        nn.init.zeros_(cast(Tensor, self.last.bias))

    def forward(self, slices: Tensor) -> Tensor:
        """The residuals of the thin slices."""
        x = self.first(slices)
        for block in self.blocks:
            x = block(x)
        x = self.last(x)  # (batch, factor, slices, columns)
        return cast(Tensor, x.transpose(1, 2).flatten(1, 2))


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, padding_mode="replicate"),
            nn.ReLU(),
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, padding_mode="replicate"),
        )

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, x + self.inner(torch.relu(x)))
