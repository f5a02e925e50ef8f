import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from haca3_bids.networks.mixture import Mixture, MixtureConfig
from haca3_bids.physics.anatomy import FULL, SHAPE, Anatomy, builtin_head
from haca3_bids.physics.people import another_person
from haca3_bids.physics.render import tissue_weights
from haca3_bids.physics.scanner import thick_slices
from haca3_bids.physics.signal import signal
from haca3_bids.physics.tissues import TISSUES, WHITE, deviate, mean_tissues
from haca3_bids.settings import CONTRASTS
from haca3_bids.training import mixture_batches
from haca3_bids.training.acquisition import Scanner, closed, thick_matrix
from haca3_bids.training.crops import CROP, Heads
from haca3_bids.training.loop import Plan
from haca3_bids.training.mixture import BORDER, mixture_losses, train_mixture
from haca3_bids.training.mixture_batches import BATCH, MixtureData, rendered
from haca3_bids.training.mixture_scans import ScanData, kept_thetas
from haca3_bids.training.mixture_validation import MixtureValidation
from haca3_bids.training.scans import PlacedSession
from haca3_bids.training.tables import draw_tables
from haca3_bids.volumes.builtin import load_icbm2009a

CPU = torch.device("cpu")
TINY = MixtureConfig(TISSUES, widths=(8, 8, 8, 8), hidden=8, keys=4)


@pytest.fixture(scope="module")
def ball():
    """A head of shells: white matter in grey, in fluid, in bone, in skin."""
    grid = np.indices(SHAPE).astype(np.float32)
    middle = np.array(SHAPE, np.float32).reshape(3, 1, 1, 1) / 2
    radius = np.sqrt(((grid - middle) ** 2).sum(axis=0))
    shares = np.zeros((len(TISSUES), *SHAPE), np.uint8)
    for name, low, high in (("white", 0, 40), ("grey", 40, 50), ("csf", 50, 55), ("bone", 55, 60), ("skin", 60, 65)):
        shares[TISSUES.index(name)] = FULL * ((radius >= low) & (radius < high))
    return Anatomy(shares, "ball")


@pytest.fixture(scope="module")
def data(ball):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mixture_batches, "draw_tables", lambda coarse, seed: draw_tables(coarse, seed, sites=40))
        return MixtureData([ball, ball], 3, CPU)


def tensors(batch):
    return vars(batch).values()


def test_a_batch_is_drawn_from_the_seed_and_its_step_alone(data):
    for step in (0, 3):
        assert all(
            torch.equal(one, other)
            for one, other in zip(tensors(data.batch(step)), tensors(data.batch(step)), strict=True)
        )
    assert not torch.equal(data.batch(0).truth.flatten()[:100], data.batch(1).truth.flatten()[:100])


def test_batches_hold_crops_and_every_fourth_one_whole_slices(data):
    for step in range(4):
        batch = data.batch(step)
        sources = batch.images.shape[1]
        assert batch.images.shape[-1] == (224 if step == 3 else CROP)
        assert step == 3 or len(batch.images) == BATCH[sources]
        assert batch.truth.shape[:2] == batch.wanted.shape == (len(batch.images), 2)
        assert all(len(set(row.tolist())) == sources for row in batch.contrasts)


def test_fractions_add_up_to_one_and_images_end_where_they_have_no_data(data):
    batch = data.batch(2)
    torch.testing.assert_close(batch.shares.sum(dim=1), torch.ones(batch.shares[:, 0].shape), rtol=0, atol=1e-3)
    assert not batch.images[~batch.covers].any()
    assert (batch.images >= 0).all()
    torch.testing.assert_close(batch.thetas[..., WHITE], torch.ones(batch.thetas.shape[:2]))


def test_people_differ_from_the_mean_as_the_signal_equation_says(data):
    from haca3_bids.physics.protocols import REFERENCE_PROTOCOLS
    from haca3_bids.training.tables import SiteTables

    deviations = 0.03 * np.random.default_rng(0).standard_normal((3, len(TISSUES))).astype(np.float32)
    for protocol in REFERENCE_PROTOCOLS.values():
        plain = tissue_weights(protocol, np.zeros((3, len(TISSUES)), np.float32))
        tables = SiteTables(torch.from_numpy(plain)[None, None], torch.ones(1, 1))
        found = tables.of_people(torch.tensor([0]), torch.tensor([0]), torch.from_numpy(deviations)[None])[0, 0]
        exact = signal(protocol, deviate(mean_tissues(protocol.field_t), deviations))
        np.testing.assert_allclose(found, exact / exact[WHITE], rtol=0.03, atol=0.03)


def test_rendering_is_that_of_the_simulator():
    from haca3_bids.physics.render import render

    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(len(TISSUES)), (8, 8)).transpose(2, 0, 1).astype(np.float32)
    weights, local = (
        rng.uniform(0, 2, (4, len(TISSUES))).astype(np.float32),
        rng.normal(0, 0.1, (3, 8, 8)).astype(np.float32),
    )
    image = rendered(*(torch.from_numpy(one)[None] for one in (shares, weights, local)))[0]
    np.testing.assert_allclose(image, render(shares, weights, local), rtol=1e-5, atol=1e-6)


def test_thick_slices_are_those_of_the_simulator():
    image = np.random.default_rng(0).uniform(size=(60, 60)).astype(np.float32)
    np.testing.assert_allclose(thick_matrix(60, 3.5) @ torch.from_numpy(image), thick_slices(image, 0, 3.5), atol=1e-5)


def test_closing_fills_holes_and_keeps_the_outline():
    mask = torch.zeros(1, 60, 60)
    mask[:, 10:50, 10:50] = 1
    holed = mask.clone()
    holed[:, 25:35, 25:35] = 0
    assert torch.equal(closed(holed), mask)


def test_the_worse_a_scan_the_higher_its_severity(ball):
    images, head = torch.ones(200, 32, 32), torch.ones(200, 32, 32)
    scanner = Scanner(torch.Generator().manual_seed(0), np.random.default_rng(0))
    scans = scanner.acquire(images, head, whole=False)
    spread = scans.images[:, 8:24, 8:24].std(dim=(1, 2))
    bad = scans.severity > 0
    assert 10 < bad.sum() < 60
    assert spread[bad].mean() > 2 * spread[~bad].mean()


def test_crops_are_upright_or_mirrored_pieces_of_a_head(ball):
    crops = Heads([ball]).draw(20, np.random.default_rng(0), CPU)
    assert crops.shares.shape == (20, len(TISSUES), CROP, CROP)
    assert crops.shares.amax() <= 1 + 1e-5
    assert (crops.shares[:, TISSUES.index("white")].sum(dim=(1, 2)) > 0).sum() > 5


def test_losses_are_finite_and_every_parameter_learns(data):
    torch.manual_seed(0)
    model = Mixture(TINY)
    losses = mixture_losses(model, data.batch(1), 0)
    losses["total"].backward()
    assert set(losses) == {"charbonnier", "squared", "gradients", "entropy", "artifacts", "total"}
    assert all(torch.isfinite(value) for value in losses.values())
    lacking = [name for name, one in model.named_parameters() if one.grad is None]
    assert lacking == []


def test_with_the_truth_in_its_hands_the_decoder_has_next_to_no_error(data):
    """The model's decoder, given the true fractions and the person's own table, gives the truth but for texture."""
    batch = data.batch(1)
    model = Mixture(TINY).eval()
    logits = torch.zeros(len(batch.images), 1, TINY.channels, CROP, CROP)
    logits[:, 0, : len(TISSUES) + 1] = (batch.shares.clamp(min=1e-9)).log()
    logits[:, 0, len(TISSUES) + 1 : TINY.classes] = -30
    with torch.no_grad():
        image = model.decode(model.fuse(logits, torch.ones(len(logits), 1, CROP, CROP)), batch.targets[:, 0])
    inside = batch.head[:, BORDER:-BORDER, BORDER:-BORDER] > 0
    error = (image - batch.truth[:, 0])[:, BORDER:-BORDER, BORDER:-BORDER][inside]
    assert error.abs().mean() < 0.25 * batch.truth[:, 0].std()


def test_a_run_learns_writes_figures_and_resumes(ball, tmp_path, monkeypatch):
    monkeypatch.setattr(mixture_batches, "draw_tables", lambda coarse, seed: draw_tables(coarse, seed, sites=20))
    monkeypatch.setattr(mixture_batches, "BATCH", {1: 2, 2: 2, 3: 2, 4: 2})
    monkeypatch.setattr(mixture_batches, "WHOLE_EVERY", 1000)
    monkeypatch.setattr("haca3_bids.training.mixture.MixtureValidation", lambda heads: MixtureValidation(heads, 6))
    torch.manual_seed(0)
    plan = Plan(4, 2e-3, 2e-3, average=0.5, save_every=2, validate_every=4, minutes=0)
    model = Mixture(TINY)
    for _ in range(4):  # a step a call
        train_mixture(model, [ball], [ball], tmp_path, plan)
    lines = (tmp_path / "losses.jsonl").read_text().splitlines()
    assert len(lines) == 4
    assert '"psnr"' in (tmp_path / "validation.jsonl").read_text()
    assert (tmp_path / "figures" / "step-000004.png").stat().st_size > 10_000


@pytest.fixture
def session():
    rng = np.random.default_rng(0)
    values = {c: rng.uniform(0, 1, (224, 224, 224)).astype(np.float16) for c in ("T1w", "T2w", "FLAIR")}
    mask = np.zeros((224, 224, 224), bool)
    mask[60:160, 60:160, 60:160] = True
    digests = {name: f"digest of {name}" for name in values}
    return PlacedSession(
        "a/sub-01", "a", values, mask, dict.fromkeys(values, 1500.0), dict.fromkeys(values, mask), digests
    )


def test_scans_teach_one_contrast_from_the_others(session):
    theta = tuple(np.linspace(0.1, 1.3, len(TISSUES)))
    found = ScanData([session], lambda one: dict.fromkeys(one.values, theta), 0, CPU)
    for step in range(4):
        batch = found.batch(step)
        assert batch.images.shape[1] in (1, 2)
        assert not (batch.contrasts == batch.wanted).any()  # a target is never among its own sources
        assert batch.images.max() <= 1.5 + 1e-3
        assert not torch.isfinite(batch.severity).any()
    losses = mixture_losses(Mixture(TINY), batch, 0)
    assert torch.isfinite(losses["total"])
    assert losses["entropy"] == losses["artifacts"] == 0


def test_what_a_scan_does_not_show_is_neither_source_nor_truth(session):
    """The T2w ends in the middle of the head: beyond, it is not a source, and nothing is learned for it."""
    half = np.array(session.mask)
    half[:, :, 110:] = False
    values = {name: np.where(half if name == "T2w" else session.mask, one, 0) for name, one in session.values.items()}
    partial = replace(session, values=values, votes=session.votes | {"T2w": half})
    theta = tuple(np.linspace(0.1, 1.3, len(TISSUES)))
    found, t2w = ScanData([partial], lambda one: dict.fromkeys(one.values, theta), 0, CPU), CONTRASTS.index("T2w")
    outside = 0
    for step in range(12):
        batch = found.batch(step)
        assert not (batch.covers & (batch.images == 0)).any(), step
        learned = batch.covers.any(dim=1)
        for number, wanted in enumerate(batch.wanted[:, 0]):
            if wanted == t2w:
                assert not (learned[number] & (batch.truth[number, 0] == 0)).any()
                outside += int((batch.images[number] > 0).any(dim=0).sum() - learned[number].sum())
    assert outside > 1000


def test_theta_of_scans_is_measured_once(session, tmp_path):
    asked, file = [], tmp_path / "thetas.json"

    def measure(one):
        asked.append(one.name)
        return dict.fromkeys(one.values, (0.1, 1 / 3))

    first = kept_thetas([session], measure, file)(session)
    again = kept_thetas([session], measure, file)(session)
    assert asked == [session.name]
    assert {name: tuple(theta) for name, theta in again.items()} == first


def test_theta_is_measured_again_for_other_images_and_other_weights(session, tmp_path):
    asked, file = [], tmp_path / "thetas.json"
    replaced = replace(session, digests=session.digests | {"T2w": "digest of another image"})

    def measure(one):
        asked.append(one.digests["T2w"])
        return dict.fromkeys(one.values, (float(len(asked)),))

    for one, weights in ((session, "A"), (replaced, "A"), (replaced, "A"), (replaced, "B")):
        last = kept_thetas([one], measure, file, weights)(one)
    assert asked == ["digest of T2w", "digest of another image", "digest of another image"]
    assert list(last["T1w"]) == [3.0]


def test_a_step_in_bfloat16(session):
    theta = tuple(np.linspace(0.1, 1.3, len(TISSUES)))
    batch = ScanData([session], lambda one: dict.fromkeys(one.values, theta), 0, CPU).batch(0)
    model = Mixture(TINY)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = mixture_losses(model, batch, 0)
    losses["total"].backward()
    assert torch.isfinite(losses["total"])
    exact = mixture_losses(model, batch, 0)
    assert losses["total"].item() == pytest.approx(exact["total"].item(), rel=0.05)


def test_validation_knows_doing_nothing_and_what_can_be_known(ball):
    scores = MixtureValidation([ball], 4).scores(Mixture(TINY).eval())
    names = {
        f"{kind}_{where}_{c}"
        for kind in ("own", "absent", "scanned", "bound")
        for where in ("head", "brain")
        for c in CONTRASTS
    }
    assert names <= set(scores)
    assert scores["bound_brain"] > scores["scanned_brain"] > 10


@pytest.mark.slow
def test_ten_minutes_of_two_cores_beat_doing_nothing_by_a_decibel_and_a_half(tmp_path):
    """From nothing, on four strangers made of the built-in head, validated on that head: own contrast, brain."""
    builtin = builtin_head(load_icbm2009a())
    strangers = [another_person(builtin, np.random.default_rng(seed)) for seed in range(4)]
    torch.manual_seed(0)
    plan = Plan(240, 3e-3, 3e-3, fade=0.4, largest_gradient=1.0, average=0.97, validate_every=240)
    train_mixture(Mixture(MixtureConfig(TISSUES)), strangers, [builtin], tmp_path, plan)
    found = json.loads((tmp_path / "validation.jsonl").read_text().splitlines()[-1])
    assert found["own_brain"] > found["scanned_brain"] + 1.5
