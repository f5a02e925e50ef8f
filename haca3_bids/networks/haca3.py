"""HACA3, assembled: anatomy (beta), contrast (theta), artifact level (eta), attention, decoder.

Zuo et al., HACA3: A unified approach for multi-site MR image harmonization, CMIG 109:102285, 2023.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from haca3_bids.networks.attention import Attention
from haca3_bids.networks.encoders import ArtifactEncoder, ContrastEncoder
from haca3_bids.networks.patchifier import Patchifier
from haca3_bids.networks.unet import UNet

PLANE = 224  # pixels a side: the slices that the contrast and artifact encoders see
VARIANTS = ("haca3", "haca3plus")
ANATOMIES = ("argmax", "soft")


@dataclass(frozen=True)
class Haca3Config:
    """The numbers of the architecture; the defaults are the paper's and the released weights'."""

    beta_dim: int = 5
    beta_base: int = 8
    decoder_base: int = 16
    variant: str = "haca3"  # of attention: one weight a source, or a map
    anatomy: str = "argmax"  # the beta that the decoder knows: one-hot levels, or their probabilities ("soft")

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise ValueError(f"variant {self.variant!r} is not one of {', '.join(VARIANTS)}")
        if self.anatomy not in ANATOMIES:
            raise ValueError(f"anatomy {self.anatomy!r} is not one of {', '.join(ANATOMIES)}")

    def to_dict(self) -> dict[str, int | str]:
        """The fields, for a file's header."""
        return asdict(self)


class Haca3(nn.Module):
    """The networks of the paper's figure 2; the state dict's keys are those of the released checkpoints."""

    def __init__(self, config: Haca3Config | None = None) -> None:
        super().__init__()
        self.config = config = config or Haca3Config()
        self.beta_encoder = UNet(1, config.beta_dim, config.beta_base)
        self.theta_encoder = ContrastEncoder()
        self.eta_encoder = ArtifactEncoder()
        self.attention_module = Attention()
        self.decoder = UNet(3, 1, config.decoder_base, final=nn.ReLU())
        self.patchifier = Patchifier()

    def anatomy(self, logits: Tensor, how: str | None = None) -> Tensor:
        """Beta of fused logits (batch, levels, h, w), same shape: one-hot levels ("argmax"), or probabilities ("soft").

        By default what the decoder was trained on.
        """
        return logits.softmax(dim=1) if (how or self.config.anatomy) == "soft" else argmax_beta(logits)

    def decode(self, beta: Tensor, theta: Tensor) -> Tensor:
        """The image of anatomy ``beta`` (batch, 1, h, w) in the contrast ``theta`` (batch, 2): (batch, 1, h, w)."""
        plane = theta[:, :, None, None].expand(-1, -1, *beta.shape[-2:])
        image: Tensor = self.decoder(torch.cat([beta, plane], dim=1))
        return image


def fuse(logits: Tensor, alpha: Tensor) -> Tensor:
    """The sources' logits (batch, sources, levels, h, w) weighted by attention: (batch, levels, h, w).

    ``alpha`` is (batch, sources), or (batch, sources, h, w) for a map.
    """
    weights = alpha[:, :, None, None, None] if alpha.ndim == 2 else alpha[:, :, None]
    return (logits * weights).sum(dim=1)


def argmax_beta(logits: Tensor) -> Tensor:
    """The most likely level as a one-hot image, (batch, levels, h, w)."""
    return torch.zeros_like(logits).scatter_(1, logits.argmax(dim=1, keepdim=True), 1.0)


def gumbel_noise(logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Standard Gumbel noise in the shape of ``logits``."""
    uniform = torch.rand(logits.shape, generator=generator, dtype=torch.float32, device="cpu")
    return -torch.log(-torch.log(uniform.clamp_(1e-10, 1 - 1e-7))).to(logits.device)


def sample_beta(logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """A level drawn with probability softmax(logits), as a one-hot image (Gumbel-max; the authors' inference)."""
    return argmax_beta(logits + gumbel_noise(logits, generator))


def one_channel(beta: Tensor) -> Tensor:
    """The decoder's view of beta (batch, levels, h, w): the level's index over their number, (batch, 1, h, w)."""
    levels = beta.shape[1]
    index = torch.arange(levels, device=beta.device, dtype=beta.dtype)
    return (beta * index[None, :, None, None]).sum(dim=1, keepdim=True) / levels
