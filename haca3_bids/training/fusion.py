"""Training of the fusion network, which predicts the true volume from three harmonized stacks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from haca3_bids.arrays import Array
from haca3_bids.networks.fusion import FusionNet
from haca3_bids.training.loop import Batch, Losses, Plan, fit
from haca3_bids.training.losses import masked_l1, structural
from haca3_bids.training.machine import ALONE, Machine

SLAB = 24  # planes, uncropped, so that instance norms see the same share of background as in a whole volume
HEAD = 0.02  # of the 95th percentile; brighter voxels belong to the head


@dataclass(frozen=True)
class FusionPair:
    """Three orientation stacks (3, 224, 224, 224) and the truth (224, 224, 224); axes (z, y, x), percentile = 1."""

    stacks: Array
    truth: Array


def train_fusion(pairs: Sequence[FusionPair], folder: Path, plan: Plan, machine: Machine = ALONE) -> FusionNet:
    """The fusion network trained on slabs of the pairs; resumes from ``folder``."""
    torch.manual_seed(plan.seed)
    net = FusionNet()
    _start_as_mean(net)

    def batches(first: int) -> Iterator[Batch]:
        return (
            _slab(pairs, np.random.default_rng((plan.seed, share * plan.accumulate + number)))
            for share in range(first * machine.world + machine.rank, plan.steps * machine.world, machine.world)
            for number in range(plan.accumulate)
        )

    fit(net, lambda batch, step: fusion_step(net, batch), batches, plan, folder, machine=machine)
    return net.cpu().eval()


def _start_as_mean(net: FusionNet) -> None:
    """Initialize the network as the mean of the stacks; random weights of other channels are scaled by a tenth."""
    first, last = net.conv2[0], net.conv2[2]
    with torch.no_grad():
        for layer in (first, last):
            for parameter in layer.parameters():
                parameter.mul_(0.1)
        for stack in range(3):
            first.weight[stack] = 0  # type: ignore[operator]
            first.bias[stack] = 0  # type: ignore[operator]
            first.weight[stack, stack, 1, 1, 1] = 1  # type: ignore[operator]
            last.weight[0, stack] = 0  # type: ignore[operator]
            last.weight[0, stack, 1, 1, 1] = 1 / 3  # type: ignore[operator]


def _slab(pairs: Sequence[FusionPair], rng: np.random.Generator) -> Batch:
    """SLAB planes that contain head, of a random pair and across a random axis."""
    pair = pairs[int(rng.integers(len(pairs)))]
    axis = int(rng.integers(3))
    others = tuple(a for a in range(3) if a != axis)
    full = np.flatnonzero((pair.truth > HEAD).mean(axis=others) > 0.1)
    start = int(rng.integers(full[0], max(full[-1] - SLAB, full[0] + 1)))
    stacks = np.take(pair.stacks, range(start, start + SLAB), axis=axis + 1)
    truth = np.take(pair.truth, range(start, start + SLAB), axis=axis)
    return {"stacks": torch.from_numpy(stacks)[None], "truth": torch.from_numpy(truth)[None, None]}


def fusion_step(net: FusionNet, batch: Batch) -> Losses:
    """Losses inside the head: absolute difference, and absolute difference of gradients."""
    fused, truth = net(batch["stacks"]), batch["truth"]
    image, true = (x.flatten(0, 2)[:, None] for x in (fused, truth))
    mask = (true > HEAD).float()
    l1, edges = masked_l1(image, true, mask), structural(image, true, mask, scales=1)
    return {"total": l1 + 0.5 * edges, "l1": l1, "edges": edges}
