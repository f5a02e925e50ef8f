"""HACA3: encoders of anatomy (beta), contrast (theta) and artifact level (eta), attention, and decoder.

Zuo et al., HACA3: A unified approach for multi-site MR image harmonization, CMIG 109:102285, 2023.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from haca3_bids.networks.attention import INFERENCE_TEMPERATURE, Attention, attention_maps, smooth_maps
from haca3_bids.networks.encoders import ArtifactEncoder, ContrastEncoder
from haca3_bids.networks.patchifier import Patchifier
from haca3_bids.networks.unet import UNet

PLANE = 224  # pixels a side of the slices that the contrast and artifact encoders require
VARIANTS = ("haca3", "haca3plus")


@dataclass(frozen=True)
class Haca3Config:
    """Sizes of the networks; the defaults are those of the paper and the released weights."""

    beta_dim: int = 5
    beta_base: int = 8
    decoder_base: int = 16
    variant: str = "haca3"  # of attention: one weight per source, or a map

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise ValueError(f"variant {self.variant!r} is not one of {', '.join(VARIANTS)}")

    theta_dim = 2
    eta_dim = 2

    @property
    def seen_from(self) -> float:
        """Scaled intensity above which the released program regards a voxel as inside the field of view."""
        return 1e-2 if self.variant == "haca3plus" else 1e-6

    @property
    def maps(self) -> bool:
        """Whether the released program's attention is a map and its mask the union over sources (HACA3+)."""
        return self.variant == "haca3plus"


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

    def forward(self, sources: Tensor, target: Tensor) -> Tensor:
        """Slices of a session (batch, sources, h, w) in the contrast of a target (batch, h, w): (batch, 1, h, w)."""
        images = sources.flatten(0, 1)[:, None]
        logits = self.encode(images).unflatten(0, sources.shape[:2])  # anatomy of every source
        keys = self.codes(images).unflatten(0, sources.shape[:2])  # contrast and artifact level of every source
        query = self.codes(target[:, None])  # contrast and artifact level of the target
        alpha = self.attend(keys, query)
        beta = argmax_beta(self.fuse(logits, alpha))
        return self.decode(beta, query[:, :2])

    def encode(self, x: Tensor) -> Tensor:
        """Logits of beta, (batch, levels, h, w), of slices x (batch, 1, h, w)."""
        logits: Tensor = self.beta_encoder(x)
        return logits

    def codes(self, x: Tensor) -> Tensor:
        """Theta (mean) and eta of slices x (batch, 1, 224, 224): (batch, 4)."""
        return torch.cat([self.theta_encoder(x)[0], self.eta_encoder(x)], dim=1)

    def attend(
        self,
        keys: Tensor,  # (batch, sources, 4)
        query: Tensor,  # (batch, 4)
        votes: Tensor | None = None,  # (batch, sources, h, w), bool
        temperature: float = INFERENCE_TEMPERATURE,
    ) -> Tensor:
        """Attention alpha, zero where a source has no data (``votes``); see ``Attention``.

        The shape is (batch, sources, 1, 1), or (batch, sources, h, w) with ``votes``; HACA3+ smooths the map.
        """
        available = None if votes is None else votes.any(dim=3).any(dim=2)
        alpha: Tensor = self.attention_module(query, keys, available, temperature)
        if votes is None:
            return alpha[:, :, None, None]
        maps = attention_maps(alpha, votes)
        return smooth_maps(maps) if self.config.maps else maps

    def fuse(self, logits: Tensor, alpha: Tensor) -> Tensor:
        """The sources' logits (batch, sources, levels, h, w) weighted by alpha (``attend``): (batch, levels, h, w)."""
        return (logits * alpha[:, :, None]).sum(dim=1)

    def decode(self, beta: Tensor, theta: Tensor) -> Tensor:
        """The image (batch, 1, h, w) of anatomy ``beta`` (batch, levels, h, w) in the contrast ``theta`` (batch, 2)."""
        plane = theta[:, :, None, None].expand(-1, -1, *beta.shape[-2:])
        image: Tensor = self.decoder(torch.cat([one_channel(beta), plane], dim=1))
        return image


def argmax_beta(logits: Tensor) -> Tensor:
    """The most likely level as a one-hot image, (batch, levels, h, w)."""
    likeliest = logits.max(dim=1, keepdim=True).indices  # on a CPU twelve times faster than argmax
    return torch.zeros_like(logits).scatter_(1, likeliest, 1.0)


def sample_beta(logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """A level drawn with probability softmax(logits), as a one-hot image (Gumbel-max; the authors' inference)."""
    uniform = torch.rand(logits.shape, generator=generator, dtype=torch.float32, device="cpu")
    noise = -torch.log(-torch.log(uniform.clamp_(1e-10, 1 - 1e-7)))
    return argmax_beta(logits + noise.to(logits.device))


def one_channel(beta: Tensor) -> Tensor:
    """Beta (batch, levels, h, w) as an input of the decoder: mean level / number of levels, (batch, 1, h, w)."""
    levels = beta.shape[1]
    index = torch.arange(levels, device=beta.device, dtype=beta.dtype)
    return (beta * index[None, :, None, None]).sum(dim=1, keepdim=True) / levels
