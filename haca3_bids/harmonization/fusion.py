"""Fusion of three orientations into one volume: by the fusion network, in slabs, or by the voxelwise median."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from haca3_bids.arrays import Array
from haca3_bids.networks.fusion import FusionNet

SLAB = 12  # planes at a time; over the whole volume each of the 16-channel maps alone would take 0.7 GB
EPSILON = nn.InstanceNorm3d(1).eps
SLOPE = nn.LeakyReLU().negative_slope


def median(stacks: Sequence[Array]) -> Array:
    """The voxelwise median of three volumes."""
    first, second, third = stacks
    middle: Array = np.minimum(np.maximum(first, second), third)
    np.maximum(middle, np.minimum(first, second), out=middle)
    return middle


def fuse_in_slabs(net: FusionNet, stacks: Sequence[Array], device: torch.device, slab: int = SLAB) -> Array:
    """The output of ``net`` for three volumes with axes (x, y, z), computed ``slab`` planes of z at a time.

    Two passes compute the statistics of the two instance norms over the whole volume, the third the output. The result
    equals that of the whole volume up to rounding.
    """
    net = net.to(device)
    planes = [stack.transpose(2, 1, 0) for stack in stacks]
    norms: list[_Norm] = []
    for _ in range(2):
        norms.append(_gathered(net, planes, norms, device, slab))
    fused = np.empty(stacks[0].shape, np.float32)
    for low, high in _slabs(len(planes[0]), slab):
        x = _input(planes, low - 4, high + 4, device)
        features = _encoded(net, x, norms)
        features = _convolved(net.conv2[0], x.trimmed(features.low, features.high).joined(features))
        features = _convolved(net.conv2[2], features.with_data(functional.leaky_relu_(features.data, SLOPE)))
        image = functional.relu_(features.trimmed(low, high).data)
        fused[:, :, low:high] = image[0, 0].cpu().numpy().transpose(2, 1, 0)
    return fused


@dataclass(frozen=True)
class _Part:
    """Planes ``low`` to ``high`` of a volume of ``depth`` planes: data (1, channels, high - low, height, width)."""

    data: Tensor
    low: int
    depth: int

    @property
    def high(self) -> int:
        return self.low + self.data.shape[2]

    def with_data(self, data: Tensor) -> _Part:
        return _Part(data, self.low, self.depth)

    def trimmed(self, low: int, high: int) -> _Part:
        return _Part(self.data[:, :, low - self.low : high - self.low], low, self.depth)

    def joined(self, other: _Part) -> _Part:
        return self.with_data(torch.cat([self.data, other.data], dim=1))


@dataclass(frozen=True)
class _Norm:
    """An instance norm with known statistics: mean and deviation of each channel over a whole volume."""

    mean: Tensor  # (1, channels, 1, 1, 1)
    deviation: Tensor

    def __call__(self, part: _Part) -> _Part:
        return part.with_data(functional.leaky_relu_(part.data.sub_(self.mean).div_(self.deviation), SLOPE))


def _slabs(depth: int, slab: int) -> Iterator[tuple[int, int]]:
    for low in range(0, depth, slab):
        yield low, min(low + slab, depth)


def _input(planes: Sequence[Array], low: int, high: int, device: torch.device) -> _Part:
    depth = len(planes[0])
    low, high = max(0, low), min(depth, high)
    stacked = np.stack([part[low:high] for part in planes])
    return _Part(torch.from_numpy(stacked)[None].to(device), low, depth)


def _convolved(conv: nn.Module, part: _Part) -> _Part:
    """The convolution, zero-padded at the ends of the volume; at inner edges, one plane is lost."""
    top, bottom = part.low == 0, part.high == part.depth
    data = functional.pad(part.data, (0, 0, 0, 0, int(top), int(bottom))) if top or bottom else part.data
    assert isinstance(conv, nn.Conv3d)
    data = functional.conv3d(data, conv.weight, conv.bias, padding=(0, 1, 1))
    return _Part(data, part.low if top else part.low + 1, part.depth)


def _encoded(net: FusionNet, x: _Part, norms: Sequence[_Norm]) -> _Part:
    """The first two convolutions, as far as the statistics of their norms are known."""
    first = _convolved(net.conv1[0], x)
    if not norms:
        return first
    second = _convolved(net.conv1[3], norms[0](first))
    return norms[1](second) if len(norms) > 1 else second


def _gathered(
    net: FusionNet, planes: Sequence[Array], norms: Sequence[_Norm], device: torch.device, slab: int
) -> _Norm:
    """The statistics of the next instance norm, merged over slabs in double precision (Chan et al. 1983)."""
    count, mean, squares = 0, torch.zeros(1, device=device), torch.zeros(1, device=device)
    for low, high in _slabs(len(planes[0]), slab):
        reach = 1 + len(norms)
        part = _encoded(net, _input(planes, low - reach, high + reach, device), norms).trimmed(low, high).data
        variance, centre = (value.double() for value in torch.var_mean(part, dim=(0, 2, 3, 4), correction=0))
        voxels = part.numel() // part.shape[1]
        total = count + voxels
        squares = squares + variance * voxels + (centre - mean) ** 2 * (count * voxels / total)
        mean = mean + (centre - mean) * (voxels / total)
        count = total
    deviation = torch.sqrt(squares / count + EPSILON)
    return _Norm(*(value.float().view(1, -1, 1, 1, 1) for value in (mean, deviation)))
