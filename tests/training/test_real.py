"""Training on what ``haca3-bids`` writes: which sessions, which samples, which errors."""

import shutil
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch

from haca3_bids.checkpoints.formats import save_checkpoint
from haca3_bids.cli.toolbox import main
from haca3_bids.errors import BadInput
from haca3_bids.networks.encoders import ArtifactEncoder
from haca3_bids.networks.haca3 import Haca3
from haca3_bids.networks.mixture import Mixture, MixtureConfig
from haca3_bids.physics.tissues import TISSUES
from haca3_bids.settings import CONTRASTS
from haca3_bids.training.dropout import left_by_dropout
from haca3_bids.training.haca3 import Stage, haca3_losses
from haca3_bids.training.loop import Plan
from haca3_bids.training.real import RealSlices
from haca3_bids.training.run import Cohort, Setting, _stacked
from haca3_bids.training.scans import find_sessions, place_sessions, split_by_person

FROM_FILE = ("--start-from", "haca3.safetensors")
GREY = {"T1w": 600, "T2w": 1400, "FLAIR": 1300}


def write_session(dataset, subject, contrasts, rng):
    """Heads of 60 mm on a small grid: grey outside, white matter at 1000 inside."""
    folder = dataset / f"sub-{subject}" / "anat"
    folder.mkdir(parents=True)
    x, y, z = np.indices((96, 96, 96)) - 48
    radius = np.sqrt((x / 34) ** 2 + (y / 40) ** 2 + (z / 32) ** 2)
    for contrast in contrasts:
        image = np.where(radius < 0.6, 1000, GREY[contrast]) * (radius < 1) + rng.normal(0, 10, radius.shape)
        name = f"sub-{subject}_space-MNI152NLin2009cSym_res-1_desc-preproc_{contrast}.nii.gz"
        nib.save(nib.Nifti1Image(np.abs(image).astype(np.float32), np.diag([1, 1, 1, 1])), folder / name)


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    rng, root = np.random.default_rng(0), tmp_path_factory.mktemp("data")
    for site, contrasts in (("siteA", ("T1w", "T2w")), ("siteB", ("T1w", "FLAIR"))):
        for subject in ("01", "02"):
            write_session(root / site, subject, contrasts, rng)
    write_session(root / "single", "01", ("T1w",), rng)
    return root


@pytest.fixture(scope="module")
def weights(datasets):
    """Files of both families beside the datasets: haca3.safetensors and mixture.safetensors."""
    torch.manual_seed(0)
    mixture = Mixture(MixtureConfig(TISSUES, widths=(8, 8, 8, 8), hidden=8, keys=4))
    for name, model in (("haca3", Haca3()), ("mixture", mixture)):
        save_checkpoint(datasets / f"{name}.safetensors", model, references={}, card={})


@pytest.fixture(scope="module")
def placed(datasets, tmp_path_factory):
    return place_sessions(find_sessions([datasets / "siteA", datasets / "siteB"]), tmp_path_factory.mktemp("cache"))


def test_every_session_is_found_with_its_site(datasets):
    found = find_sessions([datasets / "siteA", datasets / "siteB"])
    assert [(one.name, one.site, sorted(one.images)) for one in found] == [
        ("siteA/sub-01", "siteA", ["T1w", "T2w"]),
        ("siteA/sub-02", "siteA", ["T1w", "T2w"]),
        ("siteB/sub-01", "siteB", ["FLAIR", "T1w"]),
        ("siteB/sub-02", "siteB", ["FLAIR", "T1w"]),
    ]


def test_a_table_can_name_the_sites_of_one_dataset(datasets, tmp_path):
    table = tmp_path / "sites.tsv"
    table.write_text("participant_id\tsite\nsub-01\tnorth\nsub-02\tsouth\n")
    assert [one.site for one in find_sessions([datasets / "siteA"], table)] == ["north", "south"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["siteA"], "of one site"),
        (["single"], "two contrasts"),
        (["nothing"], "no preprocessed image"),
    ],
)
def test_data_that_teach_nothing_are_a_sentence(datasets, names, words):
    with pytest.raises(BadInput, match=words):
        find_sessions([datasets / name for name in names])


def test_two_images_of_a_contrast_are_a_sentence_and_images_off_the_template_are_not_used(tmp_path):
    """In the output of another program, the last file name won."""
    write_session(tmp_path / "site", "01", ("T1w", "T2w"), np.random.default_rng(0))
    image = next((tmp_path / "site").rglob("*_T1w.nii.gz"))
    shutil.copy(image, image.with_name("sub-01_desc-preproc_T1w.nii.gz"))
    (found,) = find_sessions([tmp_path / "site"], one_site=True)
    assert found.images["T1w"] == image
    shutil.copy(image, image.with_name(image.name.replace("cSym", "cAsym")))
    with pytest.raises(BadInput, match="are images of one session"):
        find_sessions([tmp_path / "site"], one_site=True)


def test_a_table_without_its_columns_is_a_sentence(datasets, tmp_path):
    table = tmp_path / "sites.tsv"
    table.write_text("subject\tscanner\nsub-01\tnorth\n")
    with pytest.raises(BadInput, match="columns participant_id and site"):
        find_sessions([datasets / "siteA"], table)


def test_validation_is_split_by_person(placed):
    train, kept = split_by_person(placed, 2)
    assert {one.name.split("/")[1] for one in train} == {"sub-01"}
    assert {one.name.split("/")[1] for one in kept} == {"sub-02"}


def test_samples_are_drawn_from_their_index_and_inter_site_targets_are_of_other_sites(placed):
    data = RealSlices(placed, seed=1)
    kinds = set()
    for index in range(40):
        sample, again = data[index], data[index]
        assert all(torch.equal(torch.as_tensor(sample[k]), torch.as_tensor(again[k])) for k in sample)
        assert sample["available"].any()
        assert not sample["sources"][~sample["present"]].any()
        assert not (sample["available"] & ~sample["present"]).any()
        own = {CONTRASTS[row] for row in np.flatnonzero(sample["present"])}
        target = CONTRASTS[sample["contrast"]]
        kinds.add((bool(sample["paired"]), bool(sample["truth"].any())))
        if not sample["paired"]:
            assert target not in own - {"T1w"}  # siteA alone has T2w, siteB alone FLAIR
            assert not sample["truth"].any()
    assert kinds == {(True, True), (False, False)}


def test_scans_and_simulated_heads_take_turns(heads, placed):
    setting = Setting(Plan(steps=4), workers=0)
    batches = Cohort(heads, placed).batches(setting, lambda step: Stage(1.0, pool=2, batch=1), 0)
    assert ["paired" in batch for batch in batches] == [False, True, False, True]


@pytest.mark.parametrize("progress", [*(pytest.param(value, marks=pytest.mark.slow) for value in (0.1, 0.5)), 0.95])
def test_scans_of_people_train_everything(placed, progress):
    torch.manual_seed(0)
    data = RealSlices(placed, seed=1)
    model = Haca3()
    model.eta_encoder.requires_grad_(False)
    losses = haca3_losses(model, _stacked([data[i] for i in range(3)]), progress)
    losses["total"].backward()
    assert all(torch.isfinite(value) for value in losses.values())
    for part in (model.beta_encoder, model.theta_encoder, model.decoder):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())


def test_dropout_hides_the_targets_own_contrast_in_four_of_five_samples_and_others_sometimes():
    rng, present = np.random.default_rng(0), np.array([True, True, False, True])
    left = np.array([left_by_dropout(present, 0, rng) for _ in range(2000)])
    assert left.any(axis=1).all()
    assert not left[:, 2].any()
    assert left[:, 0].mean() == pytest.approx(0.2, abs=0.03)
    assert left[:, 1].mean() == pytest.approx(0.8, abs=0.04)
    assert 0.5 < (left.sum(axis=1) > 1).mean() < 0.9  # attention has a choice


def test_anatomy_is_contrasted_whatever_attention_may_choose_from(placed):
    data = RealSlices(placed, seed=1)
    alone = next(data[i] for i in range(100) if data[i]["available"].sum() == 1)
    assert alone["present"].sum() == 2
    assert haca3_losses(Haca3(), _stacked([alone]), 0.95)["contrastive"].item() > 0


def test_theta_is_sometimes_found_as_at_inference_and_never_from_the_slice_shown(placed):
    data = RealSlices(placed, seed=1)
    samples = [data[i] for i in range(60)]
    assert {len(sample["reference"]) for sample in samples} >= {1, 20}
    for sample in samples:
        same = (sample["reference"] - sample["truth"]).abs().amax(dim=(1, 2))
        assert not sample["paired"] or same.min() > 0
    batch = _stacked(samples[:12])
    assert batch["reference"].shape[:2] == (12, 20)


def test_beyond_the_field_of_view_of_the_target_nothing_is_learned_or_scored(placed):
    """The T2w ends in the middle of the head: beyond, there is neither truth nor reference."""
    half = np.array(placed[0].votes["T2w"])
    half[:, :, 112:] = False
    values = placed[0].values | {"T2w": np.where(half, placed[0].values["T2w"], 0)}
    data = RealSlices([replace(placed[0], values=values, votes=placed[0].votes | {"T2w": half}), *placed[1:]], seed=1)
    targets = set()
    for sample in (data[index] for index in range(100)):
        if sample["paired"] and sample["present"][CONTRASTS.index("T2w")]:
            targets.add(CONTRASTS[sample["contrast"]])
            assert sample["mask"].any()
            assert (sample["truth"][sample["mask"]] > 0).all()
        assert sample["reference"].amax(dim=(1, 2)).min() > 0
    assert targets == {"T1w", "T2w"}


def test_datasets_of_one_name_are_told_apart(datasets, tmp_path):
    for hospital, site in (("north", "siteA"), ("south", "siteB")):
        (tmp_path / hospital).mkdir()
        (tmp_path / hospital / "out").symlink_to(datasets / site)
        shutil.copytree(datasets / site, tmp_path / hospital / "copy")
    found = find_sessions([tmp_path / "north" / "copy", tmp_path / "south" / "copy"])
    assert {one.site for one in found} == {"north-copy", "south-copy"}
    assert len({one.name for one in found}) == 4
    with pytest.raises(BadInput, match="twice"):
        find_sessions([datasets / "siteA", tmp_path / "north" / "out"])


def test_what_was_placed_before_is_placed_again_when_it_changed(datasets, tmp_path):
    shutil.copytree(datasets / "siteA", tmp_path / "siteA")
    both = [tmp_path / "siteA", datasets / "siteB"]
    before = place_sessions(find_sessions(both), tmp_path / "cache")[0]
    old = np.array(before.values["T1w"])
    write_session(tmp_path / "new", "01", ("T1w", "T2w", "FLAIR"), np.random.default_rng(5))
    shutil.copytree(tmp_path / "new" / "sub-01", tmp_path / "siteA" / "sub-01", dirs_exist_ok=True)
    after = place_sessions(find_sessions(both), tmp_path / "cache")[0]
    assert set(after.values) == {"T1w", "T2w", "FLAIR"}
    assert not np.array_equal(old, after.values["T1w"])


def test_nobody_is_kept_for_validation_where_the_rest_would_teach_nothing(placed):
    only = [one for one in placed if one.site == "siteA"] + [one for one in placed if one.name == "siteB/sub-02"]
    train, kept = split_by_person(only, 2)
    assert (len(train), kept) == (3, [])


def test_a_target_of_another_site_is_not_reconstructed(placed):
    data = RealSlices(placed, seed=1)
    unpaired = next(data[i] for i in range(100) if not data[i]["paired"])
    losses = haca3_losses(Haca3(), _stacked([unpaired]), 0.95)
    assert losses["l1"].item() == 0
    assert losses["structure"].item() == 0
    assert losses["cycle"].item() > 0


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["haca3"], "nothing to train on"),
        (["artifact", "--data", "siteA"], "haca3 train artifact does not accept --data"),
        (["mixture", "--data", "siteA"], "haca3 train mixture needs simulated heads"),
        (["haca3", "--data", "siteA", "siteB"], "needs a trained artifact encoder"),
        (["haca3", "--data", "siteA", "--start-from", "builtin"], "the built-in weights are a mixture model"),
        (["haca3", "--data", "siteA", "siteB", "--start-from", "mixture.safetensors"], "are a mixture model"),
        (["haca3", "--data", "siteA", *FROM_FILE], "of one site"),
        (["haca3", "--data", "siteA", "siteB", "--sites", "none.tsv", *FROM_FILE], "none.tsv cannot be read"),
        (["haca3", "--data", "siteA", "--accumulate", "0"], "--accumulate 0 is invalid"),
        (["haca3", "--data", "siteA", "--steps", "-5"], "--steps -5 is invalid"),
        (["haca3", "--data", "siteA", "--seed", "-1"], "--seed -1 is invalid"),
        (["haca3", "--data", "siteA", "--seed", str(2**64)], "is too large"),
        (["haca3", "--data", "siteA", "--workers", "-1"], "--workers -1 is invalid"),
        (["haca3", "--data", "siteA", "--minutes", "nan"], "--minutes nan is invalid"),
    ],
)
def test_what_cannot_be_trained_is_a_sentence(datasets, tmp_path, words, sentence, capsys, monkeypatch):
    monkeypatch.chdir(datasets)
    assert main(["train", *words, "--out", str(tmp_path / "run")]) != 0
    assert sentence in capsys.readouterr().err


@pytest.mark.slow  # clean scans of every contrast are encoded for the table of eta: minutes
@pytest.mark.usefixtures("weights")
def test_two_steps_from_given_weights_give_weights_again_and_no_fusion_network(datasets, tmp_path, monkeypatch):
    monkeypatch.chdir(datasets)
    run = ["--out", str(tmp_path / "run"), "--threads", "1", "--workers", "0"]
    assert main(["train", "haca3", "--data", "siteA", "siteB", *FROM_FILE, "--steps", "2", *run]) == 0
    assert main(["train", "export", *run]) == 0
    assert (tmp_path / "run" / "weights" / "haca3.safetensors").stat().st_size > 1e6
    assert not (tmp_path / "run" / "weights" / "fusion.safetensors").exists()


@pytest.mark.slow
def test_data_alone_begin_with_the_artifact_encoder_that_was_trained_before(datasets, tmp_path, monkeypatch):
    monkeypatch.chdir(datasets)
    torch.manual_seed(1)
    artifact = ArtifactEncoder().state_dict()
    (tmp_path / "artifact").mkdir()
    torch.save({"networks": artifact}, tmp_path / "artifact" / "last.pt")
    run = ["--out", str(tmp_path), "--threads", "1", "--workers", "0"]
    assert main(["train", "haca3", "--data", "siteA", "siteB", "--steps", "1", *run]) == 0
    trained = torch.load(tmp_path / "haca3" / "last.pt")["networks"]
    for name, value in artifact.items():
        assert torch.equal(trained[f"eta_encoder.{name}"], value)
