"""Eta of the mixture model: the severity of noise, motion and ghosts, one number per slice."""

import torch
from torch import Tensor, nn

RIDGE = 1e-3  # penalty of the regression, relative to the number of slices; features have unit variance


class ArtifactLevel(nn.Module):
    """A linear regression on the mean and standard deviation of every encoder map inside the head.

    Artifacts change the maps throughout a slice, so that these statistics are more informative than single pixels. Eta
    is 0 for a scan without artifacts and about 1 for one that would be repeated.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(2 * channels))
        self.register_buffer("bias", torch.zeros(1))

    def forward(self, maps: Tensor, inside: Tensor) -> Tensor:
        """Eta (batch,) of maps (batch, channels, h, w) and head masks ``inside`` (batch, h, w)."""
        return statistics(maps, inside) @ self.weight + self.bias

    def fit(self, features: Tensor, severity: Tensor) -> None:
        """Ridge regression of ``severity`` (slices,) on ``features`` (slices, 2 channels), from ``statistics``."""
        x, y = features.double(), severity.double()
        mean, spread = x.mean(dim=0), x.std(dim=0).clamp(min=1e-6)
        z = (x - mean) / spread
        system = z.T @ z + RIDGE * len(z) * torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
        weight = torch.linalg.solve(system, z.T @ (y - y.mean())) / spread
        self.weight.copy_(weight)
        self.bias.copy_(y.mean() - weight @ mean)


def statistics(maps: Tensor, inside: Tensor) -> Tensor:
    """Means and standard deviations (batch, 2 channels) of maps (batch, channels, h, w) ``inside`` (batch, h, w)."""
    weight = inside[:, None].to(maps.dtype)
    count = weight.sum(dim=(-2, -1)).clamp(min=1)
    mean = (maps * weight).sum(dim=(-2, -1)) / count
    variance = ((maps - mean[..., None, None]) * weight).square().sum(dim=(-2, -1)) / count
    return torch.cat([mean, variance.sqrt()], dim=1)
