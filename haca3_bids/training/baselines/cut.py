"""CUT: contrastive unpaired translation, in one direction (Park et al., ECCV 2020).

Our own, smaller version: a residual U-Net, three levels of features, and fewer patches.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from haca3_bids.training.baselines.baseline import Baseline
from haca3_bids.training.baselines.blocks import WIDTHS, Adversary, Translator
from haca3_bids.training.loop import Batch, Losses

PATCHES, FEATURES, TEMPERATURE = 128, 64, 0.07  # per slice and level; in the article 256, 256 and 0.07


class Cut(Baseline):
    """A translator, a discriminator, and for each level a small network that projects the features of patches."""

    batch_size = 1  # as in the article

    def __init__(self) -> None:
        super().__init__()
        self.translator, self.adversary = Translator(), Adversary()
        self.describe = nn.ModuleList(
            nn.Sequential(nn.Linear(width, FEATURES), nn.ReLU(), nn.Linear(FEATURES, FEATURES)) for width in WIDTHS[:3]
        )

    def losses(self, batch: Batch) -> Losses:
        source, target = batch["source"], batch["target"]
        made, same = self.translator(source), self.translator(target)
        contrastive = (self._contrastive(source, made) + self._contrastive(target, same)) / 2
        fooling, adversary = self.adversary.unconvinced(made), self.adversary.mistaken(target, made)
        total = fooling + contrastive + adversary
        return {"total": total, "contrastive": contrastive, "fooling": fooling, "adversary": adversary}

    def _contrastive(self, image: Tensor, made: Tensor) -> Tensor:
        """PatchNCE loss, mean over levels: a translated patch resembles the same patch more than others."""
        losses = []
        levels = zip(self.translator.features(image), self.translator.features(made), self.describe, strict=True)
        for keys, queries, describe in levels:
            places = torch.randperm(keys[0, 0].numel(), device=keys.device)[:PATCHES]
            key, query = (normalize(describe(x.flatten(2)[..., places].mT), dim=-1) for x in (keys, queries))
            alike = query @ key.detach().mT / TEMPERATURE  # (batch, patches, patches)
            own = torch.arange(len(places), device=keys.device).repeat(len(alike))
            losses.append(cross_entropy(alike.flatten(0, 1), own))
        return torch.stack(losses).mean()

    def translated(self, slices: Tensor) -> Tensor:
        out: Tensor = self.translator(slices)
        return out
