"""The interface of the baselines: the losses of a training step, and translation from one site to the other."""

from abc import abstractmethod

from torch import Tensor, nn

from haca3_bids.training.loop import Batch, Losses


class Baseline(nn.Module):
    """Networks that translate slices of the source site to the target site.

    A batch has ``source``, ``paired`` (the same slices at the target site) and ``target`` (other people there), each
    (batch, contrasts, 224, 224); only DeepHarmony uses ``paired``. The first contrast is the one to be translated.
    """

    batch_size = 2  # slices of each site

    @abstractmethod
    def losses(self, batch: Batch) -> Losses:
        """The losses of a training step; ``total`` is minimized by networks and adversaries together."""

    @abstractmethod
    def translated(self, slices: Tensor) -> Tensor:
        """Slices (batch, 1, 224, 224) of the source site with the contrast of the target site, same shape."""
