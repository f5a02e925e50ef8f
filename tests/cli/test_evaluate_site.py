"""``haca3 evaluate site``: of a table and of a dataset; what cannot be told apart is a sentence."""

import base64
import re
import shutil

import numpy as np
import pytest
from derivatives import describe, write_table
from derivatives import tables as read

from haca3_bids.cli import toolbox
from haca3_bids.cli.evaluate import site
from haca3_bids.evaluation import site_probe
from haca3_bids.volumes.volume import Volume, save_volume


def tables(capsys, *arguments):
    assert toolbox.main(["evaluate", "site", *map(str, arguments)]) == 0
    return read(capsys.readouterr().out)


@pytest.fixture
def rows():
    """Twelve people at one of two sites, whose first feature is shifted before and not after."""
    rng = np.random.default_rng(0)
    return [
        {
            "participant_id": f"sub-{p}",
            "site": "AB"[p % 2],
            "step": step,
            "one": rng.normal() + shift * (p % 2),
            "two": 1,
        }
        for p in range(12)
        for step, shift in (("before", 6), ("after", 0))
    ]


def test_probes_of_every_method_are_told(rows, tmp_path, capsys):
    path = write_table(tmp_path / "features.tsv", rows)
    arguments = (path, "--method", "step", "--seeds", 1, "--permutations", 1, "--out", tmp_path / "out")
    (found,) = tables(capsys, *arguments)
    kinds = [(row["method"], row["probe"]) for row in found]
    assert kinds == [
        *(("before", one) for one in ("linear", "network")),
        *(("after", one) for one in ("frozen", "linear", "network")),
    ]
    assert float(found[0]["accuracy"]) > 0.9
    assert float(found[0]["chance"]) == 0.5
    assert {row["p"] for row in found} <= {"0.5", "1"}
    assert all(float(row["accuracy"]) < 0.8 for row in found[2:])
    assert (found[0]["images"], found[0]["subjects"]) == ("12", "12")
    assert (tmp_path / "out" / "site.html").exists()


@pytest.mark.parametrize(
    ("changed", "arguments", "sentence"),
    [
        ({"site": "A"}, [], "Two sites are needed, found 1"),
        ({"participant_id": "sub-1"}, [], "Two subjects of each site"),
        ({"site": "n/a"}, [], "has no site in features.tsv"),
        ({"site": ""}, [], "sub-0 has no site in features.tsv"),
        ({"participant_id": "n/a"}, [], "Row 1 has no participant_id in features.tsv"),
        ({"step": ""}, [], "sub-0 has no step in features.tsv"),
        ({"one": "bright"}, [], "'bright' in column one"),
        ({"one": "nan"}, [], "'nan' in column one"),
        ({"one": "n/a"}, [], "'n/a' in column one"),
        ({"one": "-inf"}, [], "'-inf' in column one"),
        ({}, ["--value", "two"], "All features of features.tsv are constant"),
        ({}, ["--site", "scanner"], "has no column scanner"),
    ],
)
def test_what_cannot_be_told_apart_is_a_sentence(changed, arguments, sentence, rows, tmp_path, capsys):
    path = write_table(tmp_path / "features.tsv", [row | changed for row in rows])
    assert toolbox.main(["evaluate", "site", str(path), "--method", "step", *arguments]) == 65
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kept", "added", "sentence"),
    [
        (23, "sub-11\tB\tafter\n", "'' in column one"),
        (24, "sub-30\n", "sub-30 has no site in features.tsv"),
        (0, "", "features.tsv has no rows"),
    ],
)
def test_a_short_row_or_no_row_is_a_sentence(kept, added, sentence, rows, tmp_path, capsys):
    path = write_table(tmp_path / "features.tsv", rows)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[: kept + 1]) + added)
    assert toolbox.main(["evaluate", "site", str(path), "--method", "step"]) == 65
    assert sentence in capsys.readouterr().err


def test_trainings_that_do_not_converge_are_noted(rows, tmp_path, capsys, monkeypatch):
    path = write_table(tmp_path / "features.tsv", rows)
    arguments = ["evaluate", "site", str(path), "--method", "step", "--seeds", "1", "--permutations", "1"]
    assert toolbox.main(arguments) == 0
    assert "did not converge" not in capsys.readouterr().err
    monkeypatch.setattr(site_probe, "ITERATIONS", 1)
    assert toolbox.main(arguments) == 0
    assert (
        "10 of 10 trainings of the network did not converge within 1 iterations." in capsys.readouterr().err
    )  # five folds of two methods


def test_the_description_of_the_network_tells_its_iterations():
    assert f"at most {site_probe.ITERATIONS} iterations" in site.PROBES["network"]


def test_a_number_that_is_too_small_is_a_sentence(rows, tmp_path, capsys):
    path = write_table(tmp_path / "features.tsv", rows)
    assert toolbox.main(["evaluate", "site", str(path), "--seeds", "0"]) == 64
    assert toolbox.main(["evaluate", "longitudinal", str(path), "--draws", "0"]) == 64
    assert capsys.readouterr().err.count("is invalid") == 2


def test_methods_of_different_people_are_a_sentence(rows, tmp_path, capsys):
    path = write_table(tmp_path / "features.tsv", rows[:-1])
    assert toolbox.main(["evaluate", "site", str(path), "--method", "step"]) == 65
    assert "do not have the same subjects" in capsys.readouterr().err


SHAPE = (32, 32, 32)


@pytest.fixture
def dataset(tmp_path):
    """Balls of three tissues of six people: before, grey matter and fluid are brighter at site B."""
    x, y, z = np.indices(SHAPE) - 15.5
    radius, rng, out = np.sqrt(x**2 + y**2 + z**2), np.random.default_rng(0), tmp_path / "out"
    brain = (radius < 12).astype(np.float32)
    for person in range(6):
        stem = f"sub-{person}_space-MNI152NLin2009cSym_res-1"
        folder, masks = out / f"sub-{person}" / "anat", tmp_path / "masks" / f"sub-{person}" / "anat"
        for one in (folder, masks):
            one.mkdir(parents=True)
        save_volume(Volume(brain, np.eye(4)), masks / f"{stem}_desc-brain_mask.nii.gz")
        for desc, shift in (("preproc", 0.2 * (person % 2)), ("haca3", 0)):
            tissue = np.select([radius < 5, radius < 9], [0.2 + shift, 1.0], 0.6 + shift) + 0.03 * rng.normal()
            image = 1000 * (tissue + 0.03 * rng.standard_normal(SHAPE)) * (radius < 14)
            save_volume(Volume(image.astype(np.float32), np.eye(4)), folder / f"{stem}_desc-{desc}_T1w.nii.gz")
    describe(out)
    write_table(tmp_path / "participants.tsv", [{"participant_id": f"sub-{p}", "site": "AB"[p % 2]} for p in range(6)])
    return out


def test_images_of_a_dataset_are_told_before_and_not_after(dataset, tmp_path, capsys):
    arguments = (dataset, "--people", tmp_path, "--brain", tmp_path / "masks", "--permutations", 1, "--seeds", 1)
    probes, distances = tables(capsys, *arguments)
    assert len(probes) == 2 * 2 * 5  # regions, features, probes
    first = next(row for row in probes if (row["region"], row["features"]) == ("brain", "intensity"))
    assert (first["method"], first["accuracy"]) == ("preproc", "1")
    before, after = (
        next(row for row in distances if (row["region"], row["method"]) == ("brain", desc))
        for desc in ("preproc", "haca3")
    )
    assert float(before["wasserstein"]) > 5 * float(after["wasserstein"])
    assert float(before["csf_overlap"]) < 0.2 < 0.5 < float(after["csf_overlap"])
    assert float(before["silhouette"]) > float(after["silhouette"])
    assert {row["csf_overlap"] for row in distances if row["region"] == "head"} == {"n/a"}


def test_histograms_of_fluid_are_drawn_before_and_after(dataset, tmp_path):
    arguments = ["evaluate", "site", dataset, "--people", tmp_path, "--brain", tmp_path / "masks", "--seeds", 1]
    assert toolbox.main([*map(str, arguments), "--permutations", "1", "--out", str(tmp_path / "found")]) == 0
    page = (tmp_path / "found" / "site.html").read_text()
    figures = [base64.b64decode(one).decode() for one in re.findall(r"data:image/svg\+xml;base64,([^\"]+)", page)]
    fluid = [one for one in figures if "share of the fluid" in one]
    assert len(fluid) == 1
    assert [fluid[0].count(f"<!-- {text} -->") for text in ("T1w, preproc", "T1w, haca3", "A", "B")] == [1, 1, 2, 2]


def test_sessions_with_one_image_are_named(dataset, tmp_path, capsys):
    stem = "space-MNI152NLin2009cSym_res-1"
    (dataset / "sub-0" / "anat" / f"sub-0_{stem}_desc-haca3_T1w.nii.gz").unlink()
    for person, name in ((11, "desc-haca3_T1w"), *((number, "desc-preproc_T1w") for number in range(12, 17))):
        folder = dataset / f"sub-{person}" / "anat"
        folder.mkdir(parents=True)
        file = dataset / "sub-1" / "anat" / f"sub-1_{stem}_{name}.nii.gz"
        shutil.copy(file, folder / file.name.replace("sub-1_", f"sub-{person}_"))
    shutil.copy(file, dataset / "sub-1" / "anat" / f"sub-1_{stem}_desc-preproc_T2w.nii.gz")
    arguments = ("--people", tmp_path, "--brain", tmp_path / "masks", "--permutations", 0, "--seeds", 1)
    assert toolbox.main(["evaluate", "site", *map(str, (dataset, *arguments))]) == 0
    found = capsys.readouterr()
    assert (
        "Left out: sub-0, sub-11, sub-12, sub-13, sub-14, ... (7 with no desc-preproc or no desc-haca3 T1w image).\n"
    ) in found.err
    assert "Left out: sub-1 (1 with no desc-preproc or no desc-haca3 T2w image).\n" in found.err
    assert {row["images"] for row in read(found.out)[0]} == {"5"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "site of the sessions is unknown"),
        (["--people", ".", "--site", "scanner"], "sub-0 has no scanner in"),
        (["--people", ".", "--contrast", "T2w"], "no session with desc-preproc and desc-haca3"),
        (["--people", ".", "--brain", "out"], "has no brain mask of sub-0"),
    ],
)
def test_what_a_dataset_lacks_is_a_sentence(arguments, sentence, dataset, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert toolbox.main(["evaluate", "site", "out", *arguments]) == 65
    assert sentence in capsys.readouterr().err
