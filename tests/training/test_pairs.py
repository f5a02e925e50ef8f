"""Pairs for the fusion network: made once for each head, and of this head alone."""

import numpy as np
import torch

from haca3_bids.settings import CONTRASTS
from haca3_bids.training import pairs
from haca3_bids.training.pairs import fusion_pairs


def test_pairs_are_kept_for_the_same_heads_and_made_for_others(heads, tmp_path, monkeypatch):
    made = []

    def pair(head, contrast, rng):
        made.append((head.name, contrast))
        return np.zeros((3, 1, 1, 1), np.float32), np.full((1, 1, 1), len(made), np.float32)

    monkeypatch.setattr(pairs, "_striped_pair", pair)
    one, other = heads
    first = fusion_pairs(None, [one, other], tmp_path)
    again = fusion_pairs(None, [one, other], tmp_path)
    assert made == [(head.name, contrast) for head, contrast in zip(2 * [one, other], CONTRASTS, strict=True)]
    assert [float(pair.truth.item()) for pair in first] == [float(pair.truth.item()) for pair in again] == [1, 2, 3, 4]
    fusion_pairs(None, [other], tmp_path)
    assert made[4:] == [(other.name, contrast) for contrast in CONTRASTS[::2]]  # its other two were there


def test_pairs_of_other_networks_are_made_again(heads, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(
        pairs,
        "_pair",
        lambda model, head, contrast, rng, device: (made.append(contrast), 2 * [np.zeros(1)])[1],
    )
    for seed in (0, 1, 1):
        torch.manual_seed(seed)
        fusion_pairs(torch.nn.Linear(2, 2), heads, tmp_path)
    assert made == 2 * list(CONTRASTS)
