"""Features that are statistically independent of the site (Adeli et al., WACV 2021; BR-Net).

The article predicts a diagnosis from such features. For harmonization, as in figure 3 of HACA3, our own, smaller
version decodes images from them, with the site of the wanted contrast as an input of the decoder.
"""

import torch
from torch import Tensor, nn

from haca3_bids.training.baselines.baseline import Baseline
from haca3_bids.training.baselines.blocks import Adversary, unet
from haca3_bids.training.loop import Batch, Losses
from haca3_bids.training.losses import masked_l1

FEATURES, HIDDEN = 8, 32
INDEPENDENCE = 0.2  # weight of the squared correlation; that of the reconstruction loss is 1
SOURCE, TARGET = 0.0, 1.0  # codes of the sites


class Adeli(Baseline):
    """An encoder, a decoder conditioned on the site, and a predictor of the site from the features."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(unet(1, FEATURES), nn.InstanceNorm2d(FEATURES))
        self.predictor = Adversary(FEATURES)
        self.decoder = nn.Sequential(
            nn.Conv2d(FEATURES + 1, HIDDEN, 3, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(HIDDEN, HIDDEN, 3, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(HIDDEN, 1, 1),
            nn.ReLU(),
        )

    def losses(self, batch: Batch) -> Losses:
        images = torch.cat([batch["source"], batch["target"]])
        site = images.new_tensor([SOURCE, TARGET]).repeat_interleave(len(batch["source"]))[:, None, None, None]
        features = self.encoder(images)
        image = masked_l1(self._decoded(features, site, images), images, (images > 0).float())
        dependence = _squared_correlation(self.predictor.verdict(features, learns=False), site)
        predicted = _squared_correlation(self.predictor.verdict(features.detach()), site)
        total = image + INDEPENDENCE * dependence - predicted
        return {"total": total, "image": image, "dependence": dependence}

    def _decoded(self, features: Tensor, site: Tensor, images: Tensor) -> Tensor:
        out: Tensor = self.decoder(torch.cat([features, site.expand_as(images)], dim=1)) * (images > 0)
        return out

    def translated(self, slices: Tensor) -> Tensor:
        target = slices.new_full((1, 1, 1, 1), TARGET)
        return self._decoded(self.encoder(slices), target, slices)


def _squared_correlation(predicted: Tensor, site: Tensor) -> Tensor:
    """Squared Pearson correlation over slices and patches: 0 if the site cannot be predicted (eq. 3 of the article)."""
    x, y = (value - value.mean() for value in (predicted, site.expand_as(predicted)))
    out: Tensor = (x * y).mean() ** 2 / (x.square().mean() * y.square().mean() + 1e-8)
    return out
