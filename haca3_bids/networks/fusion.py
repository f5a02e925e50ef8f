"""The fusion network, which combines axial, coronal and sagittal harmonized stacks into one volume."""

import torch
from torch import Tensor, nn


class FusionNet(nn.Module):
    """(batch, 3, depth, height, width) -> (batch, 1, depth, height, width); axes (z, y, x)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            nn.Conv3d(3, 8, 3, padding=1),
            nn.InstanceNorm3d(8),
            nn.LeakyReLU(),
            nn.Conv3d(8, 16, 3, padding=1),
            nn.InstanceNorm3d(16),
            nn.LeakyReLU(),
        )
        self.conv2 = nn.Sequential(
            nn.Conv3d(19, 16, 3, padding=1), nn.LeakyReLU(), nn.Conv3d(16, 1, 3, padding=1), nn.ReLU()
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2(torch.cat([x, self.conv1(x)], dim=1))
        return out
