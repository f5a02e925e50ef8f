"""The encoders of contrast (theta) and of artifact level (eta)."""

import torch
from torch import Tensor, nn

from haca3_bids.networks.blocks import normalized


class ContrastEncoder(nn.Module):
    """Encodes slices (batch, 1, 224, 224) as the mean and log-variance of theta, (batch, 2) each."""

    def __init__(self, theta_dim: int = 2) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(1, 32, 17, stride=9, padding=4),
            *normalized(32),
            nn.Conv2d(32, 64, 4, stride=2, padding=1),
            *normalized(64),
            nn.Conv2d(64, 64, 4, stride=2, padding=1),
            *normalized(64),
        )
        self.mean_conv = _head(theta_dim)
        self.logvar_conv = _head(theta_dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.conv(x)
        return self.mean_conv(features).flatten(1), self.logvar_conv(features).flatten(1)


def _head(theta_dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(64, 32, 3, padding=1), *normalized(32), nn.Conv2d(32, theta_dim, 6))


class ArtifactEncoder(nn.Module):
    """Encodes slices (batch, 1, 224, 224) as eta (batch, 2)."""

    def __init__(self, eta_dim: int = 2) -> None:
        super().__init__()
        self.in_conv = nn.Sequential(
            nn.Conv2d(1, 16, 5, padding=2), *normalized(16), nn.Conv2d(16, 64, 3, padding=1), *normalized(64)
        )
        self.seq = nn.Sequential(nn.Conv2d(65, 32, 32, stride=32), *normalized(32), nn.Conv2d(32, eta_dim, 7))

    def forward(self, x: Tensor) -> Tensor:
        features = self.in_conv(x)
        same = torch.empty_like(features[:, :1]).copy_(x)  # of the features' precision and memory format
        out: Tensor = self.seq(torch.cat([features, same], dim=1)).flatten(1)
        return out
