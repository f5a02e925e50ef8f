"""Networks built from those of MONAI, for the baselines and the segmentation of lesions."""

import contextlib
import io
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from haca3_bids.errors import Unavailable

try:
    from monai.losses.adversarial_loss import PatchAdversarialLoss
    from monai.losses.dice import DiceLoss as DiceLoss
    from monai.networks.nets.basic_unet import BasicUNet
    from monai.networks.nets.patchgan_discriminator import PatchDiscriminator
except ImportError as error:
    raise Unavailable(
        "MONAI is not installed.", "pip install '.[evaluate]' in the source folder installs it."
    ) from error

WIDTHS = (8, 16, 32, 64, 128, 8)  # channels from fine to coarse, and of the last layer; in articles 32 to 64
NORM = ("group", {"num_groups": 8})  # much faster than instance normalization on a CPU
ADVERSARY = 16  # channels of the first layer; in the articles 64


class Translator(nn.Module):
    """A U-Net with nonnegative output: (batch, 1, h, w) -> (batch, 1, h, w).

    If it is ``residual``, it is initialized as the identity, so that training starts from the unharmonized image.
    """

    def __init__(self, *, residual: bool = True) -> None:
        super().__init__()
        self.unet, self.residual = unet(1, 1), residual
        if residual:
            for parameter in self.unet.final_conv.parameters():
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        found = self.unet(x)
        return torch.relu(x + found if self.residual else found) * (x > 0)  # air remains zero

    def features(self, x: Tensor) -> list[Tensor]:
        """Features of the three finest levels of the encoder, each (batch, channels, h, w)."""
        found = [self.unet.conv_0(x)]
        for down in (self.unet.down_1, self.unet.down_2):
            found.append(down(found[-1]))
        return found


class Adversary(nn.Module):
    """A PatchGAN discriminator (Isola et al., CVPR 2017) with least-squares losses (Mao et al., ICCV 2017)."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.network = PatchDiscriminator(2, ADVERSARY, channels, norm=NORM)
        self.loss = PatchAdversarialLoss(criterion="least_squares", no_activation_leastsq=True)

    def verdict(self, images: Tensor, *, learns: bool = True) -> Tensor:
        """The output for each patch, (batch, 1, rows, columns); unless it ``learns``, only the images get gradients."""
        weights: dict[str, Tensor] = dict(self.network.named_parameters())
        if not learns:
            weights = {name: weight.detach() for name, weight in weights.items()}
        found: Tensor = functional_call(self.network, weights, images)[-1]
        return found

    def mistaken(self, real: Tensor, fake: Tensor) -> Tensor:
        """The loss of the discriminator."""
        verdicts = (self.verdict(real.detach()), True), (self.verdict(fake.detach()), False)
        wrong: Tensor = sum(
            (self.loss(found, is_real, for_discriminator=True) for found, is_real in verdicts), real.new_zeros(())
        )
        return wrong / 2

    def unconvinced(self, fake: Tensor) -> Tensor:
        """The adversarial loss of the network that generated the images."""
        loss: Tensor = self.loss(self.verdict(fake, learns=False), True, for_discriminator=False)
        return loss


def unet(inputs: int, outputs: int) -> BasicUNet:
    """A U-Net (batch, inputs, h, w) -> (batch, outputs, h, w), h and w multiples of 16, without final activation."""
    return basic_unet(2, inputs, outputs, WIDTHS, norm=NORM, upsample="nontrainable")


def basic_unet(*arguments: Any, **options: Any) -> BasicUNet:
    """MONAI's BasicUNet, which prints its widths."""
    with contextlib.redirect_stdout(io.StringIO()):
        return BasicUNet(*arguments, **options)
