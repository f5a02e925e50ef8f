"""Attention over sources: one weight per source (HACA3) or a smoothed map (HACA3+)."""

import torch
from torch import Tensor, nn

from haca3_bids.networks.blocks import SLOPE

ABSENT = -1e5  # score of a missing or dropped source before the softmax
EDGE = 0.2  # difference of neighbouring weights above which they are averaged (HACA3+)
INFERENCE_TEMPERATURE = 5.0
TRAINING_TEMPERATURE = 10.0


class Attention(nn.Module):
    """Attention of the target t to source i: alpha_i = softmax_i(q([theta_t, eta_t]) . k([theta_i, eta_i]) / (2 T)).

    q and k are small networks (linear, LeakyReLU, linear, layer norm); 2 is the square root of the length of [theta,
    eta]. The temperature T is 5 at inference and 10 in training. Missing or dropped sources have the score -1e5.
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
        """Attention weights alpha (batch, sources), which sum to one."""
        scores: Tensor = (self.k_fc(keys) @ self.q_fc(query).unsqueeze(-1)).squeeze(-1) * self.scale / temperature
        if available is not None:
            scores = scores.masked_fill(~available, ABSENT)
        return scores.softmax(dim=1)


def _projection(in_dim: int, hidden: int, out_dim: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(in_dim, hidden), nn.LeakyReLU(SLOPE), nn.Linear(hidden, out_dim), nn.LayerNorm(out_dim)
    )


def attention_maps(alpha: Tensor, masks: Tensor) -> Tensor:
    """Attention of every pixel (batch, sources, h, w): alpha (batch, sources) of the sources whose mask covers it.

    ``masks`` is (batch, sources, h, w), bool. Weights sum to one over sources, and are equal where no mask covers.
    """
    maps = alpha[:, :, None, None] * masks
    uncovered = ~masks.any(dim=1, keepdim=True)
    maps = torch.where(uncovered, torch.full_like(maps, 1.0 / masks.shape[1]), maps)
    return maps / (maps.sum(dim=1, keepdim=True) + 1e-6)


def smooth_maps(maps: Tensor) -> Tensor:
    """Maps (batch, sources, h, w) smoothed as in HACA3+: averaged with neighbours that differ by more than EDGE."""
    padded = nn.functional.pad(maps, (1, 1, 1, 1), mode="replicate")
    height, width = maps.shape[-2:]
    smooth = maps
    for row, column in ((0, 1), (2, 1), (1, 0), (1, 2)):  # above, below, left, right
        neighbour = padded[..., row : row + height, column : column + width]
        smooth = torch.where((smooth - neighbour).abs() > EDGE, (smooth + neighbour) / 2, smooth)
    return smooth / (smooth.sum(dim=1, keepdim=True) + 1e-6)
