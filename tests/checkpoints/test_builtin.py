from __future__ import annotations

from haca3_bids.checkpoints.formats import load_checkpoint
from haca3_bids.checkpoints.registry import builtin_path
from haca3_bids.settings import CONTRASTS
from haca3_bids.training.levels import LEVELS


def test_the_builtin_weights_say_how_anatomy_is_taken_and_bring_a_target_of_each_contrast() -> None:
    checkpoint = load_checkpoint(builtin_path("haca3"))
    assert (checkpoint.model.config.beta_dim, checkpoint.model.config.anatomy) == (len(LEVELS), "soft")
    assert set(checkpoint.references) == set(CONTRASTS)
    assert "not" in checkpoint.card
