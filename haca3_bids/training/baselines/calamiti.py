"""CALAMITI: anatomy and contrast of images, disentangled within each site (Zuo et al., NeuroImage 243:118569, 2021).

Our own, smaller version, built from networks of its successor HACA3: two contrasts of a slice have the same anatomy
(beta), and a discriminator makes beta indistinguishable between sites. Contrast (theta) comes from another person's
slice at the same site; its moving average at the target site is stored. There is no perceptual loss.
"""

import torch
from torch import Tensor, nn

from haca3_bids.networks.encoders import ContrastEncoder
from haca3_bids.training.baselines.baseline import Baseline
from haca3_bids.training.baselines.blocks import Adversary, unet
from haca3_bids.training.haca3 import straight_through
from haca3_bids.training.loop import Batch, Losses
from haca3_bids.training.losses import kl_to_standard_normal, masked_l1

LEVELS = 5  # channels of beta
ALIKE, SITE, KL = 0.1, 0.1, 1e-5  # weights of the losses; that of the reconstruction loss is 1
MEMORY = 0.98  # decay per step of the moving average of theta at the target site


class Calamiti(Baseline):
    """Encoders of beta and theta, a decoder, and a discriminator of beta."""

    theta: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.beta_encoder = unet(1, LEVELS)
        self.theta_encoder = ContrastEncoder()
        self.decoder = nn.Sequential(unet(LEVELS + 2, 1), nn.ReLU())
        self.adversary = Adversary(LEVELS)
        self.register_buffer("theta", torch.zeros(2))

    def losses(self, batch: Batch) -> Losses:
        images = torch.cat([batch["source"], batch["target"]])  # (slices, contrasts, 224, 224)
        flat = images.flatten(0, 1)[:, None]
        logits = self.beta_encoder(flat)
        beta = straight_through(logits).unflatten(0, images.shape[:2])
        soft = logits.softmax(dim=1).unflatten(0, images.shape[:2])
        theta, logvar = self._theta(images)
        drawn = theta + (0.5 * logvar).exp() * torch.randn_like(theta)
        swapped = beta.flip(1) if torch.rand(()) < 0.5 else beta  # beta of either contrast must suit both
        made = self._decoded(swapped.flatten(0, 1), drawn.flatten(0, 1), flat)
        at_source, at_target = soft[:, 0].chunk(2)
        terms = {
            "image": masked_l1(made, flat, (flat > 0).float()),
            "alike": (soft[:, 0] - soft[:, 1]).abs().mean(),
            "kl": kl_to_standard_normal(theta.flatten(0, 1), logvar.flatten(0, 1)),
            "site": self.adversary.unconvinced(at_source),
            "adversary": self.adversary.mistaken(at_target, at_source),
        }
        weights = {"alike": ALIKE, "site": SITE, "kl": KL}
        total = torch.stack([weights.get(name, 1.0) * loss for name, loss in terms.items()]).sum()
        return {"total": total, **terms}

    def _theta(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of theta (slices, contrasts, 2), of another slice of the batch at the same site."""
        codes = torch.stack(self.theta_encoder(images.flatten(0, 1)[:, None])).unflatten(1, images.shape[:2])
        at_source, at_target = codes.chunk(2, dim=1)
        if self.training:
            self.theta.lerp_(at_target[0, :, 0].mean(dim=0).detach(), 1 - MEMORY)
        mean, logvar = torch.cat([at_source.roll(1, 1), at_target.roll(1, 1)], dim=1)
        return mean, logvar

    def _decoded(self, beta: Tensor, theta: Tensor, images: Tensor) -> Tensor:
        head = (images > 0).float()
        planes = theta[:, :, None, None] * head  # a constant plane would be lost in normalization
        out: Tensor = self.decoder(torch.cat([beta, planes], dim=1)) * head
        return out

    def translated(self, slices: Tensor) -> Tensor:
        beta = straight_through(self.beta_encoder(slices))
        return self._decoded(beta, self.theta.expand(len(slices), -1), slices)
