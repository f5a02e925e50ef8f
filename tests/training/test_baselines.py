"""The baselines: each trains and is applied, and its parts do what its article says."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

pytest.importorskip("monai", reason="needs pip install 'haca3_bids[evaluate]'")

from haca3_bids.cli.train_baseline import METHODS
from haca3_bids.errors import BadInput
from haca3_bids.physics.protocols import draw_site
from haca3_bids.training.baselines.adeli import _squared_correlation
from haca3_bids.training.baselines.blocks import Adversary
from haca3_bids.training.baselines.cut import Cut
from haca3_bids.training.baselines.cyclegan import CycleGan
from haca3_bids.training.baselines.deepharmony import DeepHarmony
from haca3_bids.training.baselines.run import BASELINES, apply_baseline, train_baseline
from haca3_bids.training.baselines.two_sites import Sites, TwoSites
from haca3_bids.training.loop import Plan
from haca3_bids.training.machine import ALONE
from haca3_bids.training.run import Setting
from haca3_bids.volumes.volume import Volume, load_volume, save_volume


def sites(method: str, seed: int = 4) -> Sites:
    rng = np.random.default_rng(seed)
    return Sites(draw_site(rng), draw_site(rng), ("T1w", "T2w")[: METHODS[method]])


def setting(steps: int) -> Setting:
    return Setting(Plan(steps, 2e-4, 2e-4), ALONE, workers=0)


@pytest.fixture(scope="module")
def batch(heads):
    """The same slices at both sites, and other ones at the second."""
    data = TwoSites(heads, sites("cut"))
    return {name: torch.stack([data[index][name] for index in range(2)]) for name in data[0]}


LONG = ("cyclegan", "calamiti")


@pytest.mark.parametrize("method", [pytest.param(one, marks=[pytest.mark.slow] * (one in LONG)) for one in METHODS])
def test_a_baseline_trains_and_is_applied(method, heads, batch, tmp_path, monkeypatch):
    monkeypatch.setattr(BASELINES[method], "batch_size", 1)
    network = train_baseline(method, heads, sites(method), tmp_path, setting(2))
    rows = [json.loads(line) for line in (tmp_path / "losses.jsonl").read_text().splitlines()]
    assert len(rows) == 2
    assert all(np.isfinite(row["total"]) for row in rows)
    with torch.inference_mode():
        made = network.translated(batch["source"][:1])
    assert made.shape == (1, 1, 224, 224)
    assert made.min() >= 0
    assert torch.all(made[batch["source"][:1] == 0] == 0)  # air
    with pytest.raises(BadInput, match="other source; other target"):
        train_baseline(method, heads, sites(method, seed=5), tmp_path, setting(2))


def test_the_same_slices_are_seen_at_both_sites(batch):
    def alike(one, other):
        return float(np.corrcoef(one.flatten(), other.flatten())[0, 1])

    for source, paired, target in zip(batch["source"], batch["paired"], batch["target"], strict=True):
        assert torch.equal(source > 0, paired > 0)
        assert alike(source, paired) > alike(source, target) + 0.1


@pytest.mark.parametrize("people", [1, 2])
def test_slices_that_are_not_paired_show_another_person_if_there_is_one(people, heads):
    shown, data = [], TwoSites(heads[:people], sites("cut"))
    data.view = lambda person, rng, view=data.view: (shown.append(person), view(person, rng))[1]
    for index in range(6):
        data[index]
    one, other = shown[::2], shown[1::2]
    assert set(one) == set(range(people))
    assert other == [people - 1 - person for person in one]


def test_whole_images_keep_grid_and_name_and_an_untrained_translator_changes_nothing(tmp_path):
    ball = np.indices((6, 6, 8)) - np.array([2.5, 2.5, 3.5])[:, None, None, None]
    image = 1000.0 * ((ball**2).sum(axis=0) < 8) * (1 + 0.1 * np.sin(ball[0]))
    path = tmp_path / "sub-1_T1w.nii.gz"
    save_volume(Volume(image.astype(np.float32), np.diag([1.0, 1, 1, 1])), path)
    apply_baseline(DeepHarmony().eval(), "T1w", [path], tmp_path / "images")
    scan, made = load_volume(path), load_volume(tmp_path / "images" / path.name)
    assert made.has_grid_of(scan)
    assert np.allclose(made.data, np.minimum(scan.data, made.data.max()), rtol=1e-3)
    assert made.data.max() > 0


def test_a_translator_learns_from_pairs(batch):
    torch.manual_seed(0)
    network = DeepHarmony()
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    losses = []
    for _ in range(6):
        loss = network.losses({name: images[:1] for name, images in batch.items()})["total"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.95 * losses[0]


def test_each_adversary_is_trained_by_its_own_loss_only(batch):
    adversary, fake = Adversary(), batch["source"][:1, :, :64, :64].clone().requires_grad_()
    adversary.unconvinced(fake).backward()
    assert fake.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in adversary.parameters())
    fake.grad = None
    adversary.mistaken(batch["target"][:1, :, :64, :64], fake).backward()
    assert fake.grad is None
    assert all(parameter.grad.abs().sum() > 0 for parameter in adversary.parameters())


def test_patches_find_themselves_more_easily_than_those_of_another_slice(batch):
    torch.manual_seed(0)
    network = Cut()
    with torch.inference_mode():
        one, other = batch["source"][:1], batch["target"][:1]
        assert network._contrastive(one, one) < network._contrastive(one, other)


def test_the_dependence_on_the_site_is_the_squared_correlation():
    rng = np.random.default_rng(0)
    predicted, site = rng.normal(size=(4, 1, 3, 3)), np.array([0.0, 0, 1, 1])
    expected = np.corrcoef(predicted.ravel(), np.repeat(site, 9))[0, 1] ** 2
    found = _squared_correlation(torch.tensor(predicted), torch.tensor(site)[:, None, None, None])
    assert float(found) == pytest.approx(expected, rel=1e-3)


def test_the_command_line_names_all_baselines():
    assert list(METHODS) == list(BASELINES)


def test_cyclegan_does_not_start_as_the_identity_which_its_losses_would_keep(batch):
    torch.manual_seed(0)
    with torch.inference_mode():
        made = CycleGan().translated(batch["source"])
    assert (made - batch["source"]).abs().mean() > 0.05
