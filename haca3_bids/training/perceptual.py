"""The perceptual loss of the paper: differences of features of VGG16's 13th layer (Johnson et al., ECCV 2016).

The weights are not part of this package: give the file of the ImageNet weights (``vgg16-397923af.pth`` of torchvision,
or any file with the same keys). Without it, ``losses.structural`` is used instead.
"""

from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn

from haca3_bids.errors import BadInput

WIDTHS = (64, 64, "pool", 128, 128, "pool", 256, 256)  # of VGG16
LAYERS = 13  # of its features; the last of them is the convolution conv3_2
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's channels
BRIGHTEST = 1.5  # intensity, relative to the 95th percentile, that is mapped to white


class Vgg16Loss(nn.Module):
    """Mean absolute difference of the features of image and truth inside a mask, each (batch, 1, h, w).

    Raises BadInput if the file does not contain weights of VGG16.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, weights: Path) -> None:
        super().__init__()
        self.features = _features()
        self.features.load_state_dict(_read(weights, set(self.features.state_dict())))
        self.requires_grad_(False).eval()
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(STD)[:, None, None])

    def forward(self, image: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
        both = torch.cat([image * mask, truth * mask]) / BRIGHTEST
        one, other = self.features((both.clamp(0, 1) - self.mean) / self.std).chunk(2)
        out: Tensor = (one - other).abs().mean()
        return out


def _features() -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = 3
    for width in WIDTHS:
        if isinstance(width, int):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        else:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers[:LAYERS])


def _read(path: Path, wanted: set[str]) -> dict[str, Tensor]:
    try:
        found = torch.load(path, weights_only=True, map_location="cpu")
        return {name: found[f"features.{name}"] for name in wanted}
    except (OSError, RuntimeError, KeyError, TypeError, EOFError, ValueError, UnpicklingError) as error:
        raise BadInput(
            f"{path.name} does not contain weights of VGG16 ({type(error).__name__}).",
            "Use torchvision's vgg16-397923af.pth.",
        ) from error
