"""Whole training runs: the same seed gives the same losses, also through a stop, and the losses fall."""

import json

import pytest
import torch
from torch.utils.data import default_collate

from haca3_bids.networks.encoders import ArtifactEncoder
from haca3_bids.training.artifact import ArtifactTriplets, artifact_step
from haca3_bids.training.loop import Plan
from haca3_bids.training.machine import ALONE
from haca3_bids.training.run import (
    Cohort,
    Setting,
    load_haca3,
    train_artifact,
    train_haca3,
    untrained,
)

pytestmark = pytest.mark.slow
FOREVER = float("inf")


def losses(folder):
    rows = [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def setting(steps, minutes=FOREVER, seed=3, accumulate=1):
    plan = Plan(steps, 1e-3, 2e-3, seed=seed, accumulate=accumulate, minutes=minutes, validate_every=2)
    return Setting(plan, ALONE, workers=0)


def test_the_same_seed_gives_the_same_losses_and_training_lowers_that_of_unseen_slices(heads, tmp_path):
    trained = train_artifact(heads, tmp_path / "one", setting(20))
    train_artifact(heads, tmp_path / "same", setting(3))
    train_artifact(heads, tmp_path / "other", setting(1, seed=4))
    assert losses(tmp_path / "one")[:3] == losses(tmp_path / "same")
    assert losses(tmp_path / "one")[:1] != losses(tmp_path / "other")
    triplets = ArtifactTriplets(heads, 99)
    unseen = default_collate([triplets[number] for number in range(16)])
    torch.manual_seed(3)
    with torch.no_grad():
        before, after = (float(artifact_step(one, unseen)["total"]) for one in (ArtifactEncoder().eval(), trained))
    assert after < 0.9 * before


def test_a_run_of_haca3_that_was_stopped_ends_as_if_it_had_not_been(heads, tmp_path):
    def run(folder, minutes):
        torch.manual_seed(0)
        model = untrained(ArtifactEncoder())
        cohort = Cohort(heads=heads, unseen=heads)
        return train_haca3(model, cohort, folder, setting(4, minutes, accumulate=2), begin=0.7)

    whole = run(tmp_path / "whole", FOREVER)
    run(tmp_path / "parts", 0.0)
    assert len(losses(tmp_path / "parts")) == 1
    parts = run(tmp_path / "parts", FOREVER)
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.equal(one, other)
    assert (tmp_path / "parts" / "figures" / "step-000004.png").stat().st_size > 1000
    scores = [json.loads(line) for line in (tmp_path / "parts" / "validation.jsonl").read_text().splitlines()]
    assert [row["step"] for row in scores] == [2, 4]
    assert {"psnr", "nothing", "correlation"} <= set(scores[0])
    load_haca3(tmp_path / "parts")


def test_the_artifact_encoder_can_be_taken_up_by_haca3(heads, tmp_path):
    artifact = train_artifact(heads, tmp_path / "artifact", setting(2))
    model = untrained(artifact)
    assert model.config.beta_dim == 5
    assert torch.equal(model.eta_encoder.seq[0].weight, artifact.seq[0].weight)
