"""Simulated training samples: drawn from their index alone, scaled as at inference, laid out as the networks see."""

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from haca3_bids.networks.encoders import ArtifactEncoder
from haca3_bids.networks.haca3 import Haca3
from haca3_bids.physics.anatomy import AFFINE, SHAPE
from haca3_bids.physics.tissues import TISSUES
from haca3_bids.training.artifact import ArtifactTriplets, artifact_step
from haca3_bids.training.haca3 import (
    CURRICULUM,
    LAMBDAS,
    LAST_STAGE,
    haca3_losses,
    stage_at,
    straight_through,
    weighted,
)
from haca3_bids.training.run import _stacked
from haca3_bids.training.simulated import SimulatedSlices, cut_shares, with_lesions
from haca3_bids.volumes.canvas import fit_canvas
from haca3_bids.volumes.slices import ORIENTATIONS, cut
from haca3_bids.volumes.volume import Volume


def test_an_item_depends_on_seed_and_index_alone(heads):
    one, other = SimulatedSlices(heads, seed=3)[5], SimulatedSlices(heads, seed=3)[5]
    for name in one:
        assert torch.equal(torch.as_tensor(one[name]), torch.as_tensor(other[name]))
    assert not torch.equal(one["truth"], SimulatedSlices(heads, seed=4)[5]["truth"])


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_training_slices_lie_where_the_engine_cuts_them(heads, orientation):
    head = heads[0]
    volume = Volume(head.share_of("fat"), AFFINE)
    canvas = fit_canvas(volume).place(volume)
    row = cut_shares(head, orientation, 130)[4]
    np.testing.assert_allclose(row, cut(canvas, orientation)[130], atol=1e-6)


def test_validation_heads_are_imaged_and_others_may_only_speak_for_the_target(heads):
    data = SimulatedSlices(heads, seed=0, people=1)
    shown, spoke = set(), set()
    data.view = lambda person, rng, view=data.view: (shown.add(person), view(person, rng))[1]
    data.reference = lambda person, *rest, found=data.reference, **how: (
        spoke.add(person),
        found(person, *rest, **how),
    )[1]
    samples = [data[index] for index in range(12)]
    assert (shown, spoke) == ({0}, {1})
    assert {len(sample["reference"]) for sample in samples} == {1, 20}


def test_missing_contrasts_are_empty_and_one_is_always_there(heads):
    data = SimulatedSlices(heads, seed=0)
    for index in range(8):
        sample = data[index]
        assert sample["available"].any()
        assert not sample["sources"][~sample["available"]].any()
        assert sample["truth"].max() <= 5
        assert not sample["truth"][~sample["mask"]].any()


def test_the_curriculum_begins_coarse_and_soft_and_ends_with_whole_slices_and_the_cycle_loss() -> None:
    assert [stage.until for stage in CURRICULUM] == sorted(stage.until for stage in CURRICULUM)
    first, last = stage_at(0.0), stage_at(1.0)
    assert (first.pool, first.soft, first.cycle) == (2, True, False)
    assert (last.pool, last.soft, last.cycle) == (1, False, True)
    assert stage_at(LAST_STAGE) == last != stage_at(LAST_STAGE - 0.01)


def test_equation_2_adds_up_the_losses_times_their_lambdas() -> None:
    losses = weighted({"l1": torch.tensor(2.0), "cycle": torch.tensor(3.0)}, LAMBDAS)
    assert losses["l1"].item() == 20
    assert losses["total"].item() == pytest.approx(10 * 2 + 5e-2 * 3)


def test_lesions_take_the_place_of_white_matter_only(heads) -> None:
    shares = cut_shares(heads[0], "axial", 110)
    changed = with_lesions(shares, 8, np.random.default_rng(0))
    white, lesion = TISSUES.index("white"), TISSUES.index("lesion")
    assert changed[lesion].sum() > 10
    np.testing.assert_allclose(changed[white] + changed[lesion], shares[white] + shares[lesion], atol=1e-6)
    others = [row for row in range(len(TISSUES)) if row not in (white, lesion)]
    np.testing.assert_array_equal(changed[others], shares[others])


def test_a_hard_anatomy_still_has_a_gradient() -> None:
    logits = torch.randn(1, 5, 4, 4, requires_grad=True)
    one_hot = straight_through(logits)
    assert torch.equal(one_hot.detach().round(), one_hot.detach().round(decimals=5))
    assert torch.equal(one_hot.argmax(1), logits.argmax(1))
    (one_hot * torch.arange(5.0).reshape(1, 5, 1, 1)).sum().backward()
    assert logits.grad is not None
    assert logits.grad.abs().sum() > 0


@pytest.mark.parametrize("progress", [0.1, 0.5, 0.95])
def test_the_losses_of_a_stage_are_felt_by_all_parts_but_the_frozen_one(heads, progress):
    torch.manual_seed(0)
    data = SimulatedSlices(heads, seed=0)
    samples = (data[index] for index in range(100))
    one = next(one for one in samples if one["available"].sum() > 1 and len(one["reference"]) == 1)
    batch = _stacked([one])
    model = Haca3()
    model.eta_encoder.requires_grad_(False)
    losses = haca3_losses(model, batch, progress)
    losses["total"].backward()
    assert all(torch.isfinite(value) for value in losses.values())
    for name, part in model.named_children():
        felt = any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())
        assert felt == (name != "eta_encoder"), name


def test_an_artifact_step_gives_a_finite_loss(heads):
    batch = default_collate([ArtifactTriplets(heads, seed=0)[0]])
    losses = artifact_step(ArtifactEncoder(), batch)
    assert torch.isfinite(losses["total"])
    assert batch["images"].shape == (1, 3, 224, 224)
    assert heads[0].shares.shape[1:] == SHAPE
