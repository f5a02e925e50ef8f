"""``haca3 evaluate longitudinal``: of a table and of a dataset; what cannot be modelled is a sentence."""

import shutil

import numpy as np
import pytest
from derivatives import describe, write_table
from derivatives import tables as printed

from haca3_bids.cli import toolbox
from haca3_bids.cli.evaluate import volumes as volumes_module
from haca3_bids.volumes.volume import Volume, load_volume, save_volume


def tables(capsys, *arguments):
    """The printed tables, each a list of rows."""
    assert toolbox.main(["evaluate", "longitudinal", *map(str, arguments)]) == 0
    return printed(capsys.readouterr().out)


@pytest.fixture
def rows():
    """Twelve subjects with three visits: grey matter shrinks by 2 ml a year; the scatter falls to a third."""
    rng = np.random.default_rng(0)
    return [
        {"participant_id": f"sub-{p}", "age": 50 + 2 * p + v, "step": step, "grey": 600 - 2 * v + 10 * p % 7 + noise}
        for p in range(12)
        for v in range(3)
        for step, noise in (("before", 3 * rng.normal()), ("after", rng.normal()))
    ]


def test_the_model_of_every_method_and_the_change_are_told(rows, tmp_path, capsys):
    path = write_table(tmp_path / "volumes.tsv", rows)
    (before, after), people = tables(
        capsys, path, "--value", "grey", "--method", "step", "--out", tmp_path / "out", "--draws", 200
    )
    assert (before["method"], after["method"]) == ("before", "after")
    assert (before["subjects"], before["sessions"], before["p"]) == ("12", "36", "n/a")
    assert float(after["icc"]) > float(before["icc"])
    assert float(after["change_percent"]) < -70
    assert float(after["p"]) < 0.05
    assert len(people) == 24
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "longitudinal.tsv", "longitudinal.json", "longitudinal.html", "longitudinal_subjects.tsv",
        "longitudinal_subjects.json",
    }  # fmt: skip
    again = tables(capsys, path, "--value", "grey", "--method", "step", "--seed", 1, "--draws", 200)[0]
    assert again[0]["icc"] == before["icc"]
    assert again[0]["residual_variance_low"] != before["residual_variance_low"]


def test_change_is_told_for_every_person_in_units_a_year(tmp_path, capsys):
    visits = ((0, 100), (3, 107), (3, 109))
    lines = [{"who": p, "t": t, "grey": value + p * t} for p in range(4) for t, value in visits]
    path = write_table(tmp_path / "volumes.tsv", lines)
    _, people = tables(capsys, path, "--value", "grey", "--person", "who", "--time", "t")
    assert [row["participant_id"] for row in people] == ["0", "1", "2", "3"]
    assert float(people[0]["per_year"]) == pytest.approx((7 + 9) / 2 / 3, rel=1e-3)
    assert float(people[0]["residual"]) == pytest.approx(2**0.5, rel=1e-3)
    assert float(people[1]["per_year"]) == pytest.approx((7 + 9) / 2 / 3 + 1, rel=1e-3)


@pytest.mark.parametrize(
    ("changed", "arguments", "sentence"),
    [
        ({}, [], "measurements in volumes.tsv are not named"),
        ({}, ["--value", "white"], "has no column white"),
        ({}, ["--value", "grey", "--time", "years"], "has no column years"),
        ({"age": "nan"}, ["--value", "grey"], "'nan' in column age is not a number"),
        ({"age": "n/a"}, ["--value", "grey"], "'n/a' in column age is not a number"),
        ({"grey": 7}, ["--value", "grey"], "grey: all values are the same"),
        ({"age": 50}, ["--value", "grey"], "grey: all ages are the same"),
        ({"participant_id": "sub-1"}, ["--value", "grey"], "found 1 subjects"),
    ],
)
def test_what_cannot_be_modelled_is_a_sentence(changed, arguments, sentence, rows, tmp_path, capsys):
    path = write_table(tmp_path / "volumes.tsv", [row | changed for row in rows])
    assert toolbox.main(["evaluate", "longitudinal", str(path), *arguments]) == 65
    assert sentence in capsys.readouterr().err


def test_one_session_of_everybody_is_a_sentence(rows, tmp_path, capsys):
    path = write_table(tmp_path / "volumes.tsv", rows[::6])
    assert toolbox.main(["evaluate", "longitudinal", str(path), "--value", "grey"]) == 65
    assert "two sessions of at least one" in capsys.readouterr().err


def test_methods_with_different_sessions_are_a_sentence(rows, tmp_path, capsys):
    path = write_table(tmp_path / "volumes.tsv", rows[1:])
    assert toolbox.main(["evaluate", "longitudinal", str(path), "--value", "grey", "--method", "step"]) == 65
    assert "do not have the same sessions" in capsys.readouterr().err


SHAPE = (40, 44, 40)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Balls of fluid, grey and white matter in four people, whose grey matter a bias makes smaller before."""
    x, y, z = np.indices(SHAPE) - np.array([20, 22, 20])[:, None, None, None]
    radius = np.sqrt(x**2 + y**2 + z**2)
    rng, out = np.random.default_rng(0), tmp_path_factory.mktemp("derivatives")
    for person in range(4):
        for session in range(2):
            white = 12 - 0.3 * person
            tissue = np.select([radius < 4 - 0.1 * person, radius < white, radius < 16], [0.2, 1.0, 0.6], 0.2)
            for desc, noise in (("preproc", 0.06), ("haca3", 0.02)):
                stem = f"sub-{person}_ses-{session}_space-MNI152NLin2009cSym_res-1_desc-{desc}_T1w.nii.gz"
                path = out / f"sub-{person}" / f"ses-{session}" / "anat" / stem
                path.parent.mkdir(parents=True, exist_ok=True)
                image = 1000 * (tissue + noise * rng.standard_normal(SHAPE)) * (radius < 17)
                save_volume(Volume(image.astype(np.float32), np.diag([1.0, 1, 1, 1])), path)
            labels = np.select([radius < 4 - 0.3 * person, radius < white, radius < 16, radius < 17], [1, 4, 2, 1], 14)
            stem = f"sub-{person}_ses-{session}_space-MNI152NLin2009cSym_res-1_desc-betaToT1w_dseg.nii.gz"
            save_volume(Volume(labels.astype(np.float32), np.diag([1.0, 1, 1, 1])), path.with_name(stem))
    describe(out)
    return out, (radius < 17, radius < 4)


@pytest.fixture
def dataset(measured, monkeypatch):
    """The same, with brain and ventricles known instead of registered."""
    out, regions = measured
    monkeypatch.setattr(volumes_module, "_regions", lambda image: regions)
    return out


def people(path, ages=(50, 53)):
    lines = [(f"sub-{p}", f"ses-{s}", 5 * p + age) for p in range(4) for s, age in enumerate(ages)]
    names = ("participant_id", "session_id", "age")
    return write_table(path, [dict(zip(names, line, strict=True)) for line in lines])


def test_volumes_of_a_dataset_are_measured_before_and_after(dataset, tmp_path, capsys):
    arguments = (dataset, "--people", people(tmp_path / "ages.tsv"), "--out", tmp_path / "found", "--draws", 99)
    model, _, volumes = tables(capsys, *arguments)
    assert [(row["measurement"], row["method"]) for row in model[:2]] == [("GM", "preproc"), ("GM", "haca3")]
    assert len(volumes) == 4 * 2 * 2
    first = next(row for row in volumes if row["method"] == "haca3")
    assert float(first["WM"]) == pytest.approx(4 / 3 * np.pi * (12**3 - 4**3) / 1000, rel=0.05)
    assert float(first["LatV"]) == pytest.approx(4 / 3 * np.pi * 4**3 / 1000, rel=0.15)
    again = tables(capsys, tmp_path / "found" / "longitudinal_volumes.tsv", "--value", "GM", "--method", "method")
    assert float(again[0][0]["icc"]) == pytest.approx(float(model[0]["icc"]), abs=1e-3)


def test_what_lies_outside_the_field_of_view_of_one_session_is_no_tissue_in_any(dataset, tmp_path, capsys):
    """In a T2w, where white matter is the darkest tissue, zeros looked like white matter."""
    copy = tmp_path / "copy"
    shutil.copytree(dataset, copy)
    for path in copy.glob("sub-*/ses-*/anat/*_T1w.nii.gz"):
        image = load_volume(path)
        bright = np.where(image.data != 0, 1800 - image.data, 0)
        if "ses-1" in path.name and "preproc" in path.name:
            bright[:20] = 0
        save_volume(image.with_data(bright), path.with_name(path.name.replace("_T1w", "_T2w")))
    words = (copy, "--people", people(tmp_path / "ages.tsv"), "--contrast", "T2w", "--draws", 9)
    *_, volumes = tables(capsys, *words)
    found = [float(row["WM"]) for row in volumes if row["participant_id"] == "sub-0"]
    assert found == pytest.approx([2 / 3 * np.pi * (12**3 - 4**3) / 1000] * 4, rel=0.08)


def test_an_image_with_other_voxels_is_named(dataset, tmp_path, capsys):
    """Its shape is that of the others, but its volumes would be twice as large."""
    copy = tmp_path / "copy"
    shutil.copytree(dataset, copy)
    (path,) = copy.glob("sub-2/ses-1/anat/*desc-haca3_T1w.nii.gz")
    save_volume(Volume(load_volume(path).data, np.diag([1.0, 1, 2, 1])), path)
    words = ["evaluate", "longitudinal", str(copy), "--people", str(people(tmp_path / "ages.tsv"))]
    assert toolbox.main(words) == 65
    assert f"{path.name} does not have the grid of the template" in capsys.readouterr().err


def test_sessions_left_out_and_ages_that_are_not_those_of_the_sessions_are_told(dataset, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(dataset, copy)
    next(copy.glob("sub-2/ses-1/anat/*desc-haca3_T1w.nii.gz")).unlink()
    ages = write_table(tmp_path / "ages.tsv", [{"participant_id": f"sub-{p}", "age": 50 + 5 * p} for p in range(4)])
    words = ["evaluate", "longitudinal", str(copy), "--people", str(ages), "--draws", "9"]
    assert toolbox.main(words) == 0
    told = capsys.readouterr().err
    assert "Left out: sub-2_ses-1 (1 with no desc-preproc or no desc-haca3 T1w image)." in told
    assert "ages.tsv has one age for all sessions of 3 subjects." in told
    people(ages)
    assert toolbox.main(words) == 0
    assert "one age" not in capsys.readouterr().err


def test_anatomy_maps_are_measured_as_well(dataset, tmp_path, capsys):
    arguments = (dataset, "--people", people(tmp_path / "ages.tsv"), "--anatomy-maps", "--draws", 9)
    model, _, volumes = tables(capsys, *arguments)
    assert [row["method"] for row in model[:3]] == ["preproc", "haca3", "beta"]
    first = next(row for row in volumes if row["method"] == "beta")
    assert float(first["WM"]) == pytest.approx(4 / 3 * np.pi * (12**3 - 4**3) / 1000, rel=0.02)
    assert float(first["GM"]) == pytest.approx(4 / 3 * np.pi * (16**3 - 12**3) / 1000, rel=0.02)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "age of the sessions is unknown"),
        (["--people", "without.tsv"], "sub-0_ses-0 has no age in without.tsv"),
        (["--people", "."], "has no participants.tsv"),
        (["--people", "ages.tsv", "--contrast", "FLAIR"], "no session with desc-preproc and desc-haca3 FLAIR"),
        (["--people", "ages.tsv", "--after", "other"], "no session with desc-preproc and desc-other T1w"),
    ],
)
def test_what_a_dataset_lacks_is_a_sentence(arguments, sentence, dataset, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    people(tmp_path / "ages.tsv")
    write_table(tmp_path / "without.tsv", [{"participant_id": "sub-0", "sex": "F"}])
    assert toolbox.main(["evaluate", "longitudinal", str(dataset), *arguments]) == 65
    assert sentence in capsys.readouterr().err
