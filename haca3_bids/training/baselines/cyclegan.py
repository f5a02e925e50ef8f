"""CycleGAN: unpaired translation in both directions (Zhu et al., ICCV 2017).

Our own, smaller version: U-Nets instead of ResNet generators, and no image buffer. They start from random weights, as
in the article: translators that start as the identity never leave it, because the cycle and identity losses (absolute
differences) are at their minimum there, with a slope that exceeds that of the adversarial loss on all sides.
"""

from torch import Tensor
from torch.nn.functional import l1_loss

from haca3_bids.training.baselines.baseline import Baseline
from haca3_bids.training.baselines.blocks import Adversary, Translator
from haca3_bids.training.loop import Batch, Losses

CYCLE, IDENTITY = 10.0, 5.0  # weights of the losses, as in the article


class CycleGan(Baseline):
    """Two translators and two discriminators."""

    batch_size = 1  # as in the article

    def __init__(self) -> None:
        super().__init__()
        self.there, self.back = Translator(residual=False), Translator(residual=False)
        self.at_target, self.at_source = Adversary(), Adversary()

    def losses(self, batch: Batch) -> Losses:
        source, target = batch["source"], batch["target"]
        made_target, made_source = self.there(source), self.back(target)
        cycle = l1_loss(self.back(made_target), source) + l1_loss(self.there(made_source), target)
        identity = l1_loss(self.there(target), target) + l1_loss(self.back(source), source)
        fooling = self.at_target.unconvinced(made_target) + self.at_source.unconvinced(made_source)
        adversaries = self.at_target.mistaken(target, made_target) + self.at_source.mistaken(source, made_source)
        total = fooling + CYCLE * cycle + IDENTITY * identity + adversaries
        return {"total": total, "cycle": cycle, "fooling": fooling, "adversaries": adversaries}

    def translated(self, slices: Tensor) -> Tensor:
        out: Tensor = self.there(slices)
        return out
