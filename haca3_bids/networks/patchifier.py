"""Patch features for the contrastive loss on anatomy (eq. 1); used in training only."""

from torch import Tensor, nn

from haca3_bids.networks.blocks import SLOPE

PATCH = 32  # pixels a side


class Patchifier(nn.Module):
    """Feature vectors of patches: (batch, 1, h, w) -> (batch, 128, h // 32, w // 32)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(1, 64, PATCH, stride=PATCH), nn.LeakyReLU(SLOPE), nn.Conv2d(64, 128, 1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out
