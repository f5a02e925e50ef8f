"""``haca3 evaluate lesions``: folds, sites and methods are told apart; what cannot be trained is a sentence."""

import sys

import numpy as np
import pytest
from derivatives import describe, write_table
from derivatives import tables as printed

from haca3_bids.cli import toolbox
from haca3_bids.volumes.volume import Volume, save_volume

pytest.importorskip("monai")
SHAPE = (36, 36, 36)
SITES = ("A", "B")


def save(data, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_volume(Volume(np.asarray(data, np.float32), np.eye(4)), path)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Four people at two sites with a bright lesion, which is dark at site B before harmonization."""
    tmp_path = tmp_path_factory.mktemp("lesions")
    x, y, z = np.indices(SHAPE) - 17.5
    brain, rng = x**2 + y**2 + z**2 < 14**2, np.random.default_rng(0)
    for person in range(4):
        lesion = (x - person) ** 2 + y**2 + (z + 3) ** 2 < 9
        for site in SITES:
            stem = f"sub-{person}/ses-{site}/anat/sub-{person}_ses-{site}_space-MNI152NLin2009cSym_res-1"
            save(brain, tmp_path / "masks" / f"{stem}_desc-brain_mask.nii.gz")
            save(lesion, tmp_path / "masks" / f"{stem}_label-lesion_mask.nii.gz")
            for desc, size in (("preproc", 0.5 if site == "A" else -0.3), ("haca3", 0.5)):
                image = 1000 * brain * (1 + size * lesion + 0.05 * rng.standard_normal(SHAPE))
                save(image, tmp_path / "out" / f"{stem}_desc-{desc}_FLAIR.nii.gz")
    describe(tmp_path / "out")
    lines = [{"participant_id": f"sub-{p}", "session_id": f"ses-{s}", "site": s} for p in range(4) for s in SITES]
    write_table(tmp_path / "sites.tsv", lines)
    return tmp_path


QUICK = "--people sites.tsv --brain masks --lesions masks --contrast FLAIR --device cpu --patch 32 --steps 1 --folds 2"


def tables(capsys, *arguments):
    assert toolbox.main(["evaluate", "lesions", "out", *QUICK.split(), *arguments]) == 0
    return printed(capsys.readouterr().out)


def test_every_session_is_segmented_by_a_network_that_has_not_seen_its_person(dataset, capsys, monkeypatch):
    monkeypatch.chdir(dataset)
    lesions, contrast, sessions = tables(capsys, "--out", "found")
    assert [(row["site"], row["method"]) for row in lesions] == [("A", "preproc"), ("B", "preproc"), ("B", "haca3")]
    assert all(row["subjects"] == "4" for row in lesions)
    assert len(sessions) == 4 * 3
    folds = {row["participant_id"]: row["fold"] for row in sessions}
    assert sorted(folds.values()) == ["1", "1", "2", "2"]
    assert all(folds[row["participant_id"]] == row["fold"] for row in sessions)
    found = {(row["site"], row["method"]): float(row["lesion_contrast"]) for row in contrast}
    assert found["A", "preproc"] == pytest.approx(0.5, abs=0.03)
    assert found["B", "preproc"] == pytest.approx(-0.3, abs=0.03)
    assert found["B", "haca3"] == pytest.approx(0.5, abs=0.03)
    assert (dataset / "found" / "lesions.html").exists()


def test_incomplete_sessions_are_told(dataset, capsys, monkeypatch):
    monkeypatch.chdir(dataset)
    (path,) = dataset.glob("out/sub-3/ses-B/anat/*desc-haca3_FLAIR.nii.gz")
    whole = path.read_bytes()
    path.unlink()
    try:
        assert toolbox.main(["evaluate", "lesions", "out", *QUICK.split()]) == 0
    finally:
        path.write_bytes(whole)
    assert "Left out: sub-3_ses-B (1 with incomplete images)." in capsys.readouterr().err


def test_the_site_of_the_training_can_be_chosen(dataset, capsys, monkeypatch):
    monkeypatch.chdir(dataset)
    lesions, _, _ = tables(capsys, "--train-site", "B", "--trained-on", "haca3")
    assert [(row["site"], row["method"]) for row in lesions] == [("B", "haca3"), ("A", "preproc"), ("A", "haca3")]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--train-site", "C"], 65, "There is no site C"),
        (["--site", "group"], 65, "sub-0_ses-A has no group in sites.tsv"),
        (["--contrast", "T1w"], 65, "no session with T1w images"),
        (["--lesions", "out"], 65, "out has no lesion mask of sub-0_ses-A"),
        (["--people", "one_site.tsv"], 65, "All sessions are of one site, A"),
        (["--people", "one_person.tsv"], 65, "Site A has one subject"),
        (["--patch", "40"], 64, "multiple of 16"),
        (["--folds", "1"], 64, "2 or more"),
    ],
)
def test_what_cannot_be_trained_is_a_sentence(arguments, code, sentence, dataset, capsys, monkeypatch):
    monkeypatch.chdir(dataset)
    write_table(dataset / "one_site.tsv", [{"participant_id": f"sub-{p}", "site": "A"} for p in range(4)])
    write_table(dataset / "one_person.tsv", [{"participant_id": f"sub-{p}", "site": "AB"[p > 0]} for p in range(4)])
    assert toolbox.main(["evaluate", "lesions", "out", *QUICK.split(), *arguments]) == code
    assert sentence in capsys.readouterr().err


def test_without_monai_it_is_said_how_to_install_it(dataset, capsys, monkeypatch):
    monkeypatch.chdir(dataset)
    monkeypatch.setitem(sys.modules, "monai.networks.nets.basic_unet", None)
    monkeypatch.delitem(sys.modules, "haca3_bids.training.baselines.blocks", raising=False)  # loaded by another test
    assert toolbox.main(["evaluate", "lesions", "out", *QUICK.split()]) == 69
    assert "pip install '.[evaluate]'" in capsys.readouterr().err
