"""Attention to the sources: one weight per source (HACA3) or a map (HACA3+)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from haca3_bids.networks.blocks import SLOPE

ABSENT = -1e5  # score of a missing or dropped source before the softmax
EDGE = 0.2  # neighbouring weights further apart than this are drawn together (HACA3+)
INFERENCE_TEMPERATURE = 5.0
TRAINING_TEMPERATURE = 10.0


class Attention(nn.Module):
    """Compares the target t with each source i: alpha_i = softmax_i(q([theta_t, eta_t]) . k([theta_i, eta_i]) / (2 T)).

    q and k are small networks (linear, LeakyReLU, linear, layer norm); 2 is the root of the length of [theta, eta]. The
    temperature T is 5 at inference and 10 in training. A source that is missing or dropped has the score -1e5.
    """

    def __init__(self, in_dim: int = 4, hidden: int = 128, out_dim: int = 16) -> None:
        super().__init__()
        self.scale = in_dim**-0.5  # of the input width, not of the projected one
        self.q_fc = _projection(in_dim, hidden, out_dim)
        self.k_fc = _projection(in_dim, hidden, out_dim)

    def forward(
        self,
        query: Tensor,  # (batch, 4)
        keys: Tensor,  # (batch, sources, 4)
        available: Tensor | None = None,  # (batch, sources), bool
        temperature: float = INFERENCE_TEMPERATURE,
    ) -> Tensor:
        """alpha, (batch, sources), adding up to one."""
        scores: Tensor = (self.k_fc(keys) @ self.q_fc(query).unsqueeze(-1)).squeeze(-1) * self.scale / temperature
        if available is not None:
            scores = scores.masked_fill(~available, ABSENT)
        return scores.softmax(dim=1)


def _projection(in_dim: int, hidden: int, out_dim: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(in_dim, hidden), nn.LeakyReLU(SLOPE), nn.Linear(hidden, out_dim), nn.LayerNorm(out_dim)
    )


def attention_maps(alpha: Tensor, masks: Tensor) -> Tensor:
    """Per-pixel attention: alpha (batch, sources) where a source's mask covers the pixel, equal where none does.

    ``masks`` is (batch, sources, h, w), bool; so is the shape of the result, which adds up to one over sources.
    """
    maps = alpha[:, :, None, None] * masks
    uncovered = ~masks.any(dim=1, keepdim=True)
    maps = torch.where(uncovered, torch.full_like(maps, 1.0 / masks.shape[1]), maps)
    return maps / (maps.sum(dim=1, keepdim=True) + 1e-6)


def smooth_maps(maps: Tensor) -> Tensor:
    """One smoothing pass of HACA3+ over (batch, sources, h, w): steps above EDGE move halfway to each neighbour."""
    padded = nn.functional.pad(maps, (1, 1, 1, 1), mode="replicate")
    height, width = maps.shape[-2:]
    smooth = maps
    for row, column in ((0, 1), (2, 1), (1, 0), (1, 2)):  # above, below, left, right
        neighbour = padded[..., row : row + height, column : column + width]
        smooth = torch.where((smooth - neighbour).abs() > EDGE, (smooth + neighbour) / 2, smooth)
    return smooth / (smooth.sum(dim=1, keepdim=True) + 1e-6)
