"""Simulated training samples: drawn from their index alone, scaled as at inference, laid out as the networks see."""

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from haca3_bids.networks.encoders import ArtifactEncoder
from haca3_bids.networks.haca3 import Haca3
from haca3_bids.physics.anatomy import AFFINE, SHAPE
from haca3_bids.physics.protocols import REFERENCE_PROTOCOLS
from haca3_bids.settings import CONTRASTS
from haca3_bids.training.anatomy import AnatomySlices, anatomy_step
from haca3_bids.training.artifact import ArtifactTriplets, artifact_step
from haca3_bids.training.haca3 import CURRICULUM, TOGETHER, haca3_losses, stage_at, straight_through
from haca3_bids.training.simulated import SimulatedSlices, contrast_code, cut_shares
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


def test_missing_contrasts_are_empty_and_one_is_always_there(heads):
    data = SimulatedSlices(heads, seed=0)
    for index in range(8):
        sample = data[index]
        assert sample["available"].any()
        assert not sample["sources"][~sample["available"]].any()
        assert sample["truth"].max() <= 5
        assert not sample["truth"][~sample["mask"]].any()


def test_contrasts_begin_far_apart():
    codes = np.array([contrast_code(REFERENCE_PROTOCOLS[c]) for c in CONTRASTS])
    distances = np.linalg.norm(codes[:, None] - codes[None], axis=-1)
    assert distances[~np.eye(4, dtype=bool)].min() > 2


def test_the_curriculum_ends_with_whole_slices() -> None:
    assert [stage.until for stage in CURRICULUM] == sorted(stage.until for stage in CURRICULUM)
    assert stage_at(0.999)[0].pool == 1
    assert any(stage.until == TOGETHER for stage in CURRICULUM)


def test_a_hard_anatomy_still_has_a_gradient() -> None:
    logits = torch.randn(1, 5, 4, 4, requires_grad=True)
    one_hot = straight_through(logits)
    assert torch.equal(one_hot.detach().round(), one_hot.detach().round(decimals=5))
    assert torch.equal(one_hot.argmax(1), logits.argmax(1))
    (one_hot * torch.arange(5.0).reshape(1, 5, 1, 1)).sum().backward()
    assert logits.grad is not None
    assert logits.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("progress", "parts"),
    [
        (0.1, ("theta_encoder", "decoder")),
        (0.5, ("theta_encoder", "decoder")),
        (0.95, ("beta_encoder", "theta_encoder", "decoder", "attention_module", "patchifier")),
    ],
)
def test_the_losses_of_a_stage_are_felt_by_what_it_trains(heads, progress, parts):
    torch.manual_seed(0)
    data = SimulatedSlices(heads, seed=0)
    batch = default_collate([data[index] for index in range(4)])
    model = Haca3()
    model.eta_encoder.requires_grad_(False)
    losses = haca3_losses(model, batch, progress)
    losses["total"].backward()
    assert all(torch.isfinite(value) for value in losses.values())
    for name, part in model.named_children():
        felt = any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())
        assert felt == (name in parts), name


@pytest.mark.parametrize("progress", [0.1, 0.9])
def test_the_anatomy_encoder_can_learn_a_slice_by_heart(heads, progress):
    torch.manual_seed(0)
    batch = default_collate([AnatomySlices(heads, seed=0, t1w_until=1)[0]])
    assert batch["contrast"].item() == 0
    encoder = Haca3().beta_encoder
    optimizer = torch.optim.Adam(encoder.parameters(), lr=2e-3)
    found = []
    for _ in range(8):
        losses = anatomy_step(encoder, batch, progress)
        optimizer.zero_grad()
        losses["total"].backward()
        optimizer.step()
        found.append(losses["total"].item())
    assert found[-1] < 0.8 * found[0]
    assert 0 <= losses["right"].item() <= 1


def test_an_artifact_step_gives_a_finite_loss(heads):
    batch = default_collate([ArtifactTriplets(heads, seed=0)[0]])
    losses = artifact_step(ArtifactEncoder(), batch)
    assert torch.isfinite(losses["total"])
    assert batch["images"].shape == (1, 3, 224, 224)
    assert heads[0].shares.shape[1:] == SHAPE
