"""Lesion segmentation: a 3D U-Net with four downsamplings, trained on patches with a Dice loss.

Cicek et al., MICCAI 2016 (3D U-Net); Milletari et al., 3DV 2016 (Dice loss); both from MONAI. As in section 3.2 of
Zuo et al. (2023), the network serves to compare images, not to segment lesions as well as possible.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from haca3_bids.arrays import Array, Mask
from haca3_bids.training.loop import Batch, Losses, Plan, fit
from haca3_bids.training.machine import ALONE, Machine

ON_LESION = 0.7  # fraction of the patches that are centred on a lesion
RATES = (5e-3, 1e-2)  # lowest and highest learning rate
OVERLAP = 0.25  # of neighbouring patches in sliding-window inference


@dataclass(frozen=True)
class Case:
    """One session: images (contrasts, x, y, z), standardized in the brain, and a lesion mask (x, y, z)."""

    images: Array
    lesions: Mask

    def __post_init__(self) -> None:
        if self.images.shape[1:] != self.lesions.shape:
            raise ValueError(f"images {self.images.shape[1:]} and lesions {self.lesions.shape} differ in shape")


@dataclass(frozen=True)
class Segmenter:
    """Size of the network and length of its training."""

    steps: int = 300
    base: int = 8  # channels of the finest level; 1, 2, 4 and 8 times as many at the coarser ones
    patch: int = 48  # voxels a side, a multiple of 16, at least 32
    batch: int = 2
    seed: int = 0


def standardized(images: Sequence[Array], brain: Mask) -> Array:
    """Images (contrasts, x, y, z) with mean 0 and standard deviation 1 in the brain, and 0 outside.

    Raises ValueError if an image is constant in the brain.
    """
    out = np.zeros((len(images), *brain.shape), np.float32)
    for own, image in zip(out, images, strict=True):
        values = image[brain]
        if not values.size or values.min() == values.max():
            raise ValueError("an image is constant in the brain")
        own[brain] = (values - values.mean()) / values.std()
    return out


def trained(cases: Sequence[Case], setting: Segmenter, folder: Path, machine: Machine = ALONE) -> nn.Module:
    """A network trained on the cases; checkpoints are written to ``folder``, and training resumes from them."""
    from haca3_bids.training.baselines.blocks import DiceLoss, basic_unet  # Unavailable without MONAI

    torch.manual_seed(setting.seed)
    base = setting.base
    network = basic_unet(3, len(cases[0].images), 1, (base, base, 2 * base, 4 * base, 8 * base, base))
    loss = DiceLoss(sigmoid=True, batch=True)

    def losses(batch: Batch, _step: int) -> Losses:
        return {"total": loss(network(batch["images"]), batch["lesions"])}

    plan = Plan(setting.steps, *RATES, seed=setting.seed, save_every=100)
    fit(network, losses, lambda first: _batches(cases, setting, first), plan, folder, machine=machine)
    return network.eval()


@torch.inference_mode()
def segmented(network: nn.Module, images: Array, setting: Segmenter, machine: Machine = ALONE) -> Mask:
    """The lesion mask (x, y, z) that the network predicts for images (contrasts, x, y, z)."""
    from monai.inferers.utils import sliding_window_inference

    whole = torch.from_numpy(images)[None].to(machine.device)
    found = sliding_window_inference(whole, (setting.patch,) * 3, 2, network, overlap=OVERLAP)
    assert isinstance(found, Tensor)
    return np.asarray((found[0, 0] > 0).cpu().numpy() & np.any(images != 0, axis=0))


def _batches(cases: Sequence[Case], setting: Segmenter, first: int) -> Iterator[Batch]:
    """Batches of patches; each depends only on the seed and its step, so that a resumed run sees the same."""
    places = [np.argwhere(case.lesions) for case in cases]
    brains = [np.argwhere(np.any(case.images != 0, axis=0)[::4, ::4, ::4]) * 4 for case in cases]
    for step in range(first, setting.steps):
        rng = np.random.default_rng((setting.seed, step))
        drawn = [_patch(cases, places, brains, setting.patch, rng) for _ in range(setting.batch)]
        images, lesions = zip(*drawn, strict=True)
        yield {"images": torch.from_numpy(np.stack(images)), "lesions": torch.from_numpy(np.stack(lesions))}


def _patch(
    cases: Sequence[Case],
    places: Sequence[NDArray[np.int_]],
    brains: Sequence[NDArray[np.int_]],
    size: int,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """A random patch, mirrored at random: images (contrasts, size, size, size) and lesions (1, size, size, size)."""
    index = int(rng.integers(len(cases)))
    centres = places[index] if len(places[index]) and rng.uniform() < ON_LESION else brains[index]
    centre = centres[rng.integers(len(centres))] + rng.integers(-size // 4, size // 4 + 1, 3)
    corner = np.clip(centre - size // 2, 0, np.maximum(np.array(cases[index].lesions.shape) - size, 0))
    box = tuple(slice(int(low), int(low) + size) for low in corner)
    images, lesions = cases[index].images[(slice(None), *box)], cases[index].lesions[box][None]
    missing = [(0, size - length) for length in lesions.shape[1:]]
    padded = (np.pad(part, [(0, 0), *missing]).astype(np.float32) for part in (images, lesions))
    step = -1 if rng.uniform() < 0.5 else 1  # left and right
    one, other = (np.ascontiguousarray(part[:, ::step]) for part in padded)
    return one, other
