"""The building blocks of the networks."""

from torch import Tensor, nn

SLOPE = 0.1  # negative slope of every LeakyReLU of the 2D networks


def normalized(channels: int) -> list[nn.Module]:
    """Instance normalization without parameters or running statistics, then LeakyReLU."""
    return [nn.InstanceNorm2d(channels), nn.LeakyReLU(SLOPE)]


class ConvBlock(nn.Module):
    """Two 3 x 3 convolutions, each normalized: (batch, in, h, w) -> (batch, out, h, w)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, padding=1),
            *normalized(out_channels),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
            *normalized(out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out


class Upsample(nn.Module):
    """Bilinear upsampling, then a 3 x 3 convolution to half the channels: (batch, c, h, w) -> (batch, c/2, 2h, 2w)."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        half = in_channels // 2
        self.conv = nn.Sequential(nn.Conv2d(in_channels, half, 3, padding=1), *normalized(half))

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        out: Tensor = self.conv(x)
        return out
