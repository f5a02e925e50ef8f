"""Fusion of three orientations into one volume: by the fusion network, in slabs, or by the voxelwise median."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from haca3_bids.arrays import Array
from haca3_bids.networks.fusion import FusionNet

SLAB = 12  # planes at a time: over the whole volume each of the 16-channel maps alone would take 0.7 GB
REACH = 4  # voxels: of the four convolutions together
EPSILON = nn.InstanceNorm3d(1).eps
SLOPE = nn.LeakyReLU().negative_slope
STORED = torch.channels_last_3d  # on a CPU, convolutions of few channels are 1.2 to 2 times faster


def median(stacks: Sequence[Array]) -> Array:
    """The voxelwise median of three volumes."""
    first, second, third = stacks
    middle: Array = np.minimum(np.maximum(first, second), third)
    np.maximum(middle, np.minimum(first, second), out=middle)
    return middle


def fuse_in_slabs(net: FusionNet, stacks: Sequence[Array], device: torch.device, slab: int = SLAB) -> Array:
    """The output of ``net`` for three volumes with axes (x, y, z), computed ``slab`` planes of z at a time.

    Air around the head is computed only once (``_shown``). The statistics of the instance norms are those of the whole
    volume, so that the convolutions before them are computed again for the result: keeping their maps would take 0.5 GB
    and save hardly any time. The result equals that of the whole volume up to rounding.
    """
    net = net.to(device)
    shown = [_shown(axis, stacks) for axis in range(3)]
    volume = np.stack([stack[np.ix_(*(one.kept for one in shown))] for stack in stacks])
    weights = [torch.from_numpy(one.weights).to(device) for one in shown]
    first, second = _Statistics(weights), _Statistics(weights)
    shape = volume.shape[1:]
    slabs = [(low, min(low + slab, shape[2])) for low in range(0, shape[2], slab)]
    for low, high in slabs:
        first.add(_convolved(net.conv1[0], _input(volume, low - 1, high + 1, device)).trimmed(low, high))
    for low, high in slabs:
        second.add(_twice_convolved(net, _input(volume, low - 2, high + 2, device), first).trimmed(low, high))
    fused = np.empty(shape, np.float32)
    for low, high in slabs:
        maps = second.normalized(_twice_convolved(net, _input(volume, low - REACH, high + REACH, device), first))
        part = _convolved(net.conv2[0], _input(volume, maps.low, maps.high, device).joined(maps))
        part = _convolved(net.conv2[2], part.with_data(functional.leaky_relu_(part.data, SLOPE)))
        fused[..., low:high] = functional.relu_(part.trimmed(low, high).data)[0, 0].cpu().numpy()
    return fused[np.ix_(*(one.equal for one in shown))]


@dataclass(frozen=True)
class _Shown:
    """The planes of one axis that are computed: air further than REACH from head and edge is the same everywhere."""

    kept: NDArray[np.intp]  # planes of the volume
    equal: NDArray[np.intp]  # for each plane of the volume, the position in ``kept`` of the plane that equals it

    @property
    def weights(self) -> Array:
        """How many planes of the volume each kept one stands for."""
        return np.bincount(self.equal).astype(np.float32)


def _shown(axis: int, stacks: Sequence[Array]) -> _Shown:
    others = tuple({0, 1, 2} - {axis})
    head = np.flatnonzero(np.logical_or.reduce([stack.any(axis=others) for stack in stacks]))
    low, high = (head[0], head[-1] + 1) if len(head) else (0, 0)
    same = np.arange(stacks[0].shape[axis])
    for air in (same[REACH : max(low - REACH, 0)], same[high + REACH : -REACH]):
        air[:] = air[:1]
    return _Shown(*np.unique(same, return_inverse=True))


@dataclass(frozen=True)
class _Part:
    """Planes ``low`` to ``high`` of a volume of ``depth`` planes: data (1, channels, x, y, high - low), ``_stored``.

    z is the last axis, not the first as in the network: PyTorch's convolution of thin slabs is then much faster.
    """

    data: Tensor
    low: int
    depth: int

    @property
    def high(self) -> int:
        return self.low + self.data.shape[-1]

    def with_data(self, data: Tensor) -> _Part:
        return _Part(data, self.low, self.depth)

    def trimmed(self, low: int, high: int) -> _Part:
        return _Part(self.data[..., low - self.low : high - self.low], low, self.depth)

    def joined(self, other: _Part) -> _Part:
        return self.with_data(torch.cat([self.data, other.data], dim=1))


class _Statistics:
    """Mean and variance of each channel over a volume, merged over slabs in double precision (Chan et al. 1983)."""

    def __init__(self, weights: Sequence[Tensor]) -> None:
        self.weights = weights  # of the planes of x, y and z
        self.count = self.mean = self.squares = torch.zeros(1, dtype=torch.float64, device=weights[0].device)

    def add(self, part: _Part) -> None:
        """Include a slab."""
        x, y, z = self.weights
        count = x.sum(dtype=torch.float64) * y.sum() * z[part.low : part.high].sum()
        centre = self._sum(part.data, part) / count
        squares = self._sum((part.data - centre.float().view(1, -1, 1, 1, 1)).square_(), part)
        total = self.count + count
        self.squares = self.squares + squares + (centre - self.mean) ** 2 * (self.count * count / total)
        self.mean = self.mean + (centre - self.mean) * (count / total)
        self.count = total

    def _sum(self, data: Tensor, part: _Part) -> Tensor:
        x, y, z = self.weights
        plane = (y[:, None] * z[part.low : part.high]).flatten()
        rows = plane @ data[0].movedim(0, -1).flatten(1, 2)  # (x, channels)
        return x.double() @ rows.double()

    def normalized(self, part: _Part) -> _Part:
        """The slab normalized in place, and activated."""
        deviation = torch.sqrt(self.squares / self.count + EPSILON)
        mean, deviation = (value.float().view(1, -1, 1, 1, 1) for value in (self.mean, deviation))
        return part.with_data(functional.leaky_relu_(part.data.sub_(mean).div_(deviation), SLOPE))


def _twice_convolved(net: FusionNet, part: _Part, first: _Statistics) -> _Part:
    return _convolved(net.conv1[3], first.normalized(_convolved(net.conv1[0], part)))


def _input(volume: Array, low: int, high: int, device: torch.device) -> _Part:
    depth = volume.shape[-1]
    low, high = max(0, low), min(depth, high)
    return _Part(_stored(torch.from_numpy(volume[..., low:high])[None].to(device)), low, depth)


def _stored(data: Tensor) -> Tensor:
    return data.contiguous(memory_format=STORED)


def _convolved(conv: nn.Module, part: _Part) -> _Part:
    """The convolution, zero-padded at the ends of the volume; at inner edges, one plane is lost."""
    assert isinstance(conv, nn.Conv3d)
    top, bottom = part.low == 0, part.high == part.depth
    data = functional.pad(part.data, (int(top), int(bottom))) if top or bottom else part.data
    weight = _stored(conv.weight.transpose(2, 4))  # which are z, y, x
    data = functional.conv3d(data, weight, conv.bias, padding=(1, 1, 0))
    return _Part(data, part.low if top else part.low + 1, part.depth)
