"""The U-Net of the anatomy encoder and of the decoder."""

import torch
from torch import Tensor, nn

from haca3_bids.networks.blocks import SLOPE, ConvBlock, Upsample

LEVELS = 4  # downsamplings; height and width must be multiples of 2**LEVELS


class UNet(nn.Module):
    """(batch, in_channels, h, w) -> (batch, out_channels, h, w); ``final`` is an optional last activation."""

    def __init__(self, in_channels: int, out_channels: int, base: int, final: nn.Module | None = None) -> None:
        super().__init__()
        widths = [2 * base * 2**level for level in range(LEVELS)]
        inputs = [base, *widths[:-1]]
        self.in_conv = nn.Conv2d(in_channels, base, 3, padding=1)
        self.down_convs = nn.ModuleList(ConvBlock(i, o) for i, o in zip(inputs, widths, strict=True))
        self.bottleneck_conv = ConvBlock(widths[-1], 2 * widths[-1])
        self.up_samples = nn.ModuleList(Upsample(2 * width) for width in widths)
        self.up_convs = nn.ModuleList(ConvBlock(2 * width, width) for width in widths)
        self.out_conv = nn.Sequential(
            nn.Conv2d(2 * base, base, 3, padding=1), nn.LeakyReLU(SLOPE), nn.Conv2d(base, out_channels, 3, padding=1)
        )
        self.final = final or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.in_conv(x)
        skips: list[Tensor] = []
        for down in self.down_convs:
            skips.append(down(x))
            x = nn.functional.max_pool2d(skips[-1], 2)
        x = self.bottleneck_conv(x)
        for level in reversed(range(LEVELS)):
            x = self.up_samples[level](x)
            x = self.up_convs[level](torch.cat([skips.pop(), x], dim=1))
        out: Tensor = self.final(self.out_conv(x))
        return out
