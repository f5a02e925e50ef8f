"""DeepHarmony: a U-Net trained on the same people at both sites (Dewey et al., Magn Reson Imaging 64:160, 2019).

Our own, smaller version: one contrast instead of four, and a narrower, residual U-Net.
"""

from torch import Tensor

from haca3_bids.training.baselines.baseline import Baseline
from haca3_bids.training.baselines.blocks import Translator
from haca3_bids.training.loop import Batch, Losses
from haca3_bids.training.losses import masked_l1


class DeepHarmony(Baseline):
    """A U-Net trained with the mean absolute difference from the scan at the target site."""

    def __init__(self) -> None:
        super().__init__()
        self.translator = Translator()

    def losses(self, batch: Batch) -> Losses:
        source, paired = batch["source"], batch["paired"]
        return {"total": masked_l1(self.translator(source), paired, (source > 0).float())}

    def translated(self, slices: Tensor) -> Tensor:
        out: Tensor = self.translator(slices)
        return out
