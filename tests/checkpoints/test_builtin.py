from __future__ import annotations

from haca3_bids.checkpoints.formats import load_checkpoint
from haca3_bids.checkpoints.registry import BUILTIN, builtin_path
from haca3_bids.physics.tissues import TISSUES
from haca3_bids.settings import CONTRASTS

LARGEST = 5_000_000  # bytes


def test_the_builtin_weights_are_a_small_mixture_model_with_a_target_and_a_prior_of_each_contrast() -> None:
    checkpoint = load_checkpoint(builtin_path())
    assert (checkpoint.name, checkpoint.variant) == (BUILTIN, "mixture")
    assert checkpoint.model.config.tissues == TISSUES
    assert set(checkpoint.references) == set(checkpoint.priors) == set(CONTRASTS)
    assert builtin_path().stat().st_size < LARGEST


def test_the_card_says_what_they_were_trained_on_and_what_they_are_not() -> None:
    card = load_checkpoint(builtin_path()).card
    assert {"data", "training", "limits", "not"} <= set(card)


def test_references_and_priors_know_what_each_contrast_is() -> None:
    checkpoint, fluid = load_checkpoint(builtin_path()), TISSUES.index("csf")
    for tables in (
        {contrast: one.theta for contrast, one in checkpoint.references.items()},
        {contrast: one.theta.tolist() for contrast, one in checkpoint.priors.items()},
    ):
        assert tables["T2w"][fluid] > 2 > tables["PDw"][fluid] > 0.8 > tables["T1w"][fluid] > tables["FLAIR"][fluid]
