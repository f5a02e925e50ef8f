"""Training of the anatomy encoder (beta) on tissue levels: first, alone, because nothing else works before it does.

T1w comes first and the other contrasts join: instance norms remove what is constant over the plane, so the encoder has
no easy way to know whether grey matter is the darker or the brighter one, and with all contrasts at once it learns to
guess from position.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from haca3_bids.networks.unet import UNet
from haca3_bids.physics.anatomy import Anatomy
from haca3_bids.physics.protocols import draw_site
from haca3_bids.physics.tissues import BRAIN, TISSUES
from haca3_bids.settings import CONTRASTS
from haca3_bids.training.levels import tissue_levels
from haca3_bids.training.loop import Batch, Losses
from haca3_bids.training.losses import tissue_cross_entropy
from haca3_bids.training.simulated import SimulatedSlices

BATCH = 2
T1W_ALONE, AT_2_MM = 0.15, 0.75  # shares of the steps: until here only T1w, until here only every other voxel
T1W_LATER = 0.4  # share of T1w once the others have joined
BRAIN_WEIGHT = 2.0  # of the brain, when the rest of the head counts one
_BRAIN_ROWS = np.array([name in BRAIN for name in TISSUES])


class AnatomySlices(SimulatedSlices):
    """Item i, drawn from (seed, i): a slice under each contrast's protocol of one site, levels and weights."""

    def __init__(self, heads: Sequence[Anatomy], seed: int = 0, t1w_until: int = 0) -> None:
        super().__init__(heads, seed)
        self.t1w_until = t1w_until  # items before this one are T1w

    def __getitem__(self, index: int) -> dict[str, Tensor | int]:
        rng = np.random.default_rng((self.seed, index))
        view = self.view(int(rng.integers(len(self.heads))), rng)
        t1w = T1W_LATER if index >= self.t1w_until else 1.0
        shown = rng.choice(len(CONTRASTS), p=[t1w, *[(1 - t1w) / 3] * 3])
        images, _ = view.sources(draw_site(rng), np.arange(len(CONTRASTS)) == shown, rng)
        brain = view.shares[_BRAIN_ROWS].sum(axis=0) > 0.5
        return {
            "image": torch.from_numpy(images[shown]),
            "level": torch.from_numpy(tissue_levels(view.shares)),
            "weight": torch.from_numpy((view.mask * np.where(brain, BRAIN_WEIGHT, 1.0)).astype(np.float32)),
            "contrast": int(shown),
        }


def anatomy_step(encoder: UNet, batch: Batch, progress: float) -> Losses:
    """Cross-entropy with the tissue levels, at 2 mm and then at 1 mm; ``right`` is the share of right brain voxels."""
    pool = 2 if progress < AT_2_MM else 1
    weight = functional.avg_pool2d(batch["weight"][:, None], pool)
    logits = encoder(functional.avg_pool2d(batch["image"][:, None], pool))
    loss = tissue_cross_entropy(logits, batch["level"], weight, pool)
    brain = weight[:, 0] > (1 + BRAIN_WEIGHT) / 2
    known = batch["level"][:, pool // 2 :: pool, pool // 2 :: pool]
    right = ((logits.detach().argmax(dim=1) == known) & brain).sum() / brain.sum().clamp_min(1)
    return {"total": loss, "right": right}
