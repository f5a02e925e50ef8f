"""``haca3 evaluate travelling``: who is compared with whom, which images, and what cannot be compared."""

from __future__ import annotations

import json
import shutil
from argparse import Namespace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from derivatives import AFFINE, SHAPE, ball, describe, name, save, tables

from haca3_bids.bids.atomic import make_folder, write_json
from haca3_bids.cli import toolbox
from haca3_bids.cli.evaluate.pairs import _reimplemented
from haca3_bids.evaluation.normalization import matched
from haca3_bids.evaluation.similarity import fitted
from haca3_bids.intensity.background import head_mask
from haca3_bids.preprocessing.transforms import write_itk
from haca3_bids.volumes.volume import Volume, load_volume

pytest.importorskip("intensity_normalization", reason="needs pip install intensity-normalization")

NOISE = {"preproc": 0.20, "haca3": 0.05, "haca3B": 0.02}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three people at sites A and B; the fewer the noise, the more alike the images of a person."""
    root, rng = tmp_path_factory.mktemp("cohort"), np.random.default_rng(0)
    describe(root / "derivatives")
    for person in range(3):
        tissue = (rng.choice([300.0, 650.0, 1000.0], SHAPE, p=[0.2, 0.3, 0.5]) + rng.normal(0, 20, SHAPE)) * ball(8)
        for session in "AB":
            save(ball(5), name(root / "masks", person, session, "desc-brain_mask"))
            for desc, noise in NOISE.items():
                for contrast in ("T1w", "T2w"):
                    wrong = noise * (2 if contrast == "T2w" else 1) * 1000 * rng.standard_normal(SHAPE) * ball(8)
                    image = np.maximum(tissue + (wrong if session == "A" or desc == "haca3" else 0), 0)
                    save(image, name(root / "derivatives", person, session, f"desc-{desc}_{contrast}"))
    return root


def run(*arguments: object) -> int:
    return toolbox.main(["evaluate", "travelling", *map(str, arguments)])


def found(capsys: pytest.CaptureFixture[str], cohort: Path, *arguments: object) -> list[list[dict[str, str]]]:
    assert run(cohort / "derivatives", "--brain", cohort / "masks", *arguments) == 0
    return tables(capsys.readouterr().out)


ALL = ["unharmonized", "histogram matching", "Nyul", "WhiteStripe", "z-score", "harmonized"]


def test_sessions_of_a_person_are_compared_before_and_after(cohort, capsys) -> None:
    rows, means, tests = found(capsys, cohort, "--after", "haca3", "--contrast", "T1w")
    assert {(row["session_id"], row["reference_session_id"]) for row in rows} == {("ses-A", "ses-B")}
    assert [row["method"] for row in means] == ALL
    assert {row["people"] for row in means} == {"3"}
    before, *_, after = (float(row["psnr_brain_db"]) for row in means)
    assert after > before + 3
    (test,) = (row for row in tests if (row["method"], row["baseline"]) == ("harmonized", "unharmonized"))
    assert float(test["difference_psnr_brain_db"]) == pytest.approx(after - before, abs=0.01)
    assert test["p_psnr_brain_db"] == "0.25"  # three people: Wilcoxon's p cannot be smaller


def test_images_harmonized_to_a_session_are_compared_with_scans_at_its_site(cohort, capsys) -> None:
    rows, *_ = found(capsys, cohort, "--target", "sub-0_ses-B", "--after", "haca3B", "--contrast", "T1w")
    assert {row["participant_id"] for row in rows} == {"sub-1", "sub-2"}
    brain, root = ball(5), cohort / "derivatives"
    scan, truth, made, guide = (
        load_volume(name(root, person, session, f"desc-{desc}_T1w")).data
        for person, session, desc in ((1, "A", "preproc"), (1, "B", "preproc"), (1, "A", "haca3B"), (0, "B", "preproc"))
    )
    head = head_mask(truth)
    images = {
        "unharmonized": scan,
        "histogram matching": matched(scan, head, guide, head_mask(guide)),
        "harmonized": made,
    }
    for method, image in images.items():
        (row,) = (row for row in rows if (row["participant_id"], row["method"]) == ("sub-1", method))
        for place, mask in (("brain", brain & head), ("head", head)):
            expected = fitted(image, truth, mask, head)
            assert float(row[f"psnr_{place}_db"]) == pytest.approx(expected.psnr_db, rel=1e-3)
            assert float(row[f"ssim_{place}"]) == pytest.approx(expected.ssim, rel=1e-3)
        inside = brain & head
        expected = np.corrcoef(image[inside], truth[inside])[0, 1]
        assert float(row["correlation_brain"]) == pytest.approx(expected, rel=1e-3)


def test_lesions_of_both_sessions_are_left_out(cohort, capsys, tmp_path) -> None:
    lesions = {"A": np.zeros(SHAPE), "B": np.zeros(SHAPE)}
    lesions["A"][10], lesions["B"][:, 11] = 1, 1
    for person, session in ((p, s) for p in range(3) for s in "AB"):
        save(lesions[session], name(tmp_path, person, session, "label-lesion_mask"))
    rows, *_ = found(capsys, cohort, "--after", "haca3", "--contrast", "T1w", "--exclude", tmp_path)
    scan, truth = (load_volume(name(cohort / "derivatives", 0, session, "desc-preproc_T1w")).data for session in "AB")
    head = head_mask(truth)
    kept = ball(5) & head & (lesions["A"] + lesions["B"] == 0)
    expected = fitted(scan, truth, kept, head)
    assert float(rows[0]["psnr_brain_db"]) == pytest.approx(expected.psnr_db, rel=1e-3)


def test_what_one_of_the_scans_does_not_show_is_left_out(cohort, capsys, tmp_path) -> None:
    shutil.copytree(cohort / "derivatives", tmp_path / "derivatives")
    path = name(tmp_path / "derivatives", 0, "A", "desc-preproc_T1w")
    scan, truth = (load_volume(name(cohort / "derivatives", 0, session, "desc-preproc_T1w")).data for session in "AB")
    shown = np.ones(SHAPE, bool)
    shown[:, :, :7] = False
    save(scan * shown, path)
    options = ("--brain", cohort / "masks", "--after", "haca3", "--contrast", "T1w")
    assert run(tmp_path / "derivatives", *options) == 0
    rows, *_ = tables(capsys.readouterr().out)
    head = head_mask(truth)
    expected = fitted(scan, truth, ball(5) & head & shown, head)
    assert float(rows[0]["psnr_brain_db"]) == pytest.approx(expected.psnr_db, rel=1e-3)


def test_any_folder_of_images_of_the_same_names_is_a_method(cohort, capsys, tmp_path) -> None:
    for person in range(2):
        exact = load_volume(name(cohort / "derivatives", person, "B", "desc-preproc_T1w")).data
        for session in "AB":
            save(3 * exact, tmp_path / name(Path(), person, session, "desc-preproc_T1w").name)
    options = ("--after", "haca3", "haca3B", "--contrast", "T1w", "--method", f"other={tmp_path}")
    _, means, tests = found(capsys, cohort, *options)
    assert [row["method"] for row in means] == [*ALL[:-1], "haca3", "haca3B", "other"]
    assert (means[-1]["people"], means[-1]["ssim_head"]) == ("2", "1")
    assert {row["baseline"] for row in tests if row["method"] == "other"} == {row["method"] for row in means[:-1]}
    assert {row["baseline"] for row in tests if row["method"] == "Nyul"} == {"unharmonized"}


def test_trained_baselines_are_called_re_implementations(tmp_path) -> None:
    write_json(make_folder(tmp_path / "cut") / "baseline.json", {"method": "cut"})
    given = [("CUT", tmp_path / "cut"), ("again", tmp_path / "cut/images"), ("other", tmp_path)]
    notes = _reimplemented(Namespace(method=given))
    assert [note.partition(" ")[0] for note in notes] == ["CUT", "again"]
    assert "not the program of the method's authors" in notes[0]


def test_an_output_folder_with_other_targets_is_no_method(cohort, capsys, tmp_path) -> None:
    """Its preprocessed images have the right names, but they are not its result."""
    other = tmp_path / "other"
    shutil.copytree(cohort / "derivatives", other)
    for path in other.rglob("*desc-haca3_*"):
        path.unlink()
    options = ["--brain", cohort / "masks", "--after", "haca3", "--method", f"other={other}"]
    assert run(cohort / "derivatives", *options) == 65
    assert "other has no image with the name of one with desc-haca3 or desc-preproc" in capsys.readouterr().err


def test_a_session_that_another_method_lacks_is_not_filled_with_its_preprocessed_image(
    cohort, capsys, tmp_path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(cohort / "derivatives", other)
    name(other, 2, "A", "desc-haca3_T1w").unlink()
    options = ("--after", "haca3", "--contrast", "T1w", "--method", f"other={other}")
    _, means, _ = found(capsys, cohort, *options)
    assert {row["method"]: row["people"] for row in means} == dict.fromkeys(ALL, "3") | {"other": "2"}


def test_scans_are_compared_as_they_were_before_preprocessing(cohort, capsys, tmp_path) -> None:
    """A raw T2w that lies two voxels away from its T1w, which lies one away from the template."""
    data, raw = tmp_path / "derivatives", tmp_path / "raw"
    shutil.copytree(cohort / "derivatives", data)
    stem = "sub-{}_ses-{}_from-{}_to-{}_mode-image_xfm.txt"
    for person, session in ((p, s) for p in range(3) for s in "AB"):
        image = name(data, person, session, "desc-preproc_T2w")
        scan = np.roll(100 + load_volume(image).data, 3, axis=0)
        save(scan, raw / f"sub-{person}/ses-{session}/anat/sub-{person}_ses-{session}_T2w.nii.gz")
        source = f"bids:raw:sub-{person}/ses-{session}/anat/sub-{person}_ses-{session}_T2w.nii.gz"
        image.with_name(image.name.removesuffix(".nii.gz") + ".json").write_text(json.dumps({"Sources": [source]}))
        for pair, shift in ((("T1w", "MNI152NLin2009cSym"), -1), (("T2w", "T1w"), -2)):  # mm, x to the left
            write_itk(shifted(shift), image.with_name(stem.format(person, session, *pair)))
    options = ["--after", "haca3", "--contrast", "T2w", "--brain", cohort / "masks"]
    assert run(data, *options, "--raw", raw) == 0
    rows, means, tests = tables(capsys.readouterr().out)
    before, scanned = (
        [float(row["correlation_brain"]) for row in rows if row["method"] == method]
        for method in ("unharmonized", "as scanned")
    )
    assert scanned == pytest.approx(before, rel=1e-3)  # the constant that was added changes no correlation
    assert means[-1]["people"] == "3"
    assert {row["baseline"] for row in tests if row["method"] == "as scanned"} == {"unharmonized"}
    assert run(data, *options, "--raw", cohort) == 65
    assert "does not contain sub-0_ses-A_T2w.nii.gz" in capsys.readouterr().err
    path = raw / "sub-0/ses-A/anat/sub-0_ses-A_T2w.nii.gz"
    scan = nib.load(path)
    scan.set_sform(None, 0)  # it can only have been processed with --force orientation
    scan.set_qform(None, 0)
    nib.save(scan, path)
    assert run(data, *options, "--raw", raw) == 0


def shifted(mm: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[0, 3] = mm
    return matrix


def test_all_contrasts_are_taken_and_the_page_shows_them(cohort, capsys, tmp_path) -> None:
    options = ("--target", "sub-0_ses-B", "--after", "haca3B", "--out", tmp_path)
    rows, *_ = found(capsys, cohort, *options)
    t1w, t2w = (
        [float(row["psnr_head_db"]) for row in rows if (row["contrast"], row["method"]) == (contrast, "unharmonized")]
        for contrast in ("T1w", "T2w")
    )
    assert min(t1w) > max(t2w)
    page = (tmp_path / "travelling.html").read_text()
    assert page.count("<img ") == 2 + 5  # slices of two contrasts, charts of five measures
    assert "is compared" in page or "are compared with the same subject" in page
    assert {path.name for path in tmp_path.iterdir()} == {
        "travelling.html",
        *(f"travelling{part}.{kind}" for part in ("", "_means", "_tests") for kind in ("tsv", "json")),
    }


def test_a_baseline_that_cannot_be_is_left_out_and_the_reader_is_told(cohort, capsys, monkeypatch) -> None:
    def normalized(method, *given):
        if method == "Nyul":
            raise ValueError("all alike")
        return given[0]

    monkeypatch.setattr("haca3_bids.evaluation.normalization.normalized", normalized)
    assert run(cohort / "derivatives", "--brain", cohort / "masks", "--after", "haca3", "--contrast", "T1w") == 0
    told = capsys.readouterr()
    assert "Nyul has no image of sub-0_ses-A, T1w: all alike." in told.err
    assert "Nyul" not in told.out


def test_without_the_package_its_baselines_are_left_out_and_the_reader_is_told(cohort, capsys, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "intensity_normalization", None)
    assert run(cohort / "derivatives", "--brain", cohort / "masks", "--after", "haca3", "--contrast", "T1w") == 0
    told = capsys.readouterr()
    assert "pip install intensity-normalization" in told.err
    assert "histogram matching" in told.out
    assert "Nyul" not in told.out


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["masks"], 65, "is not a derivatives dataset"),
        (["nowhere"], 65, "nowhere is not a folder"),
        (["derivatives"], 65, "2 kinds of harmonized images (haca3, haca3B)"),
        (["derivatives", "--after", "none"], 65, "no subject with two sessions"),
        (["derivatives", "--after", "haca3", "--target", "sub-7_ses-B"], 65, "derivatives has no subject other than"),
        (["derivatives", "--after", "haca3", "--target", "sub-0"], 64, "is not sub-X_ses-Y"),
        (["derivatives", "--after", "haca3", "--method", "DIR"], 64, "is not NAME=DIR"),
        (["derivatives", "--after", "haca3", "--method", "x=none"], 65, "none is not a folder"),
        (["derivatives", "--after", "haca3", "--method", "z-score=masks"], 64, "two methods called z-score"),
        (["derivatives", "--after", "haca3", *2 * ["--method", "x=derivatives"]], 64, "two methods called x"),
        (["derivatives", "--after", "haca3", "--brain", "derivatives"], 65, "has no brain mask of sub-0_ses-B"),
        (["derivatives", "--after", "haca3", "--brain", "masks", "--exclude", "masks"], 65, "no lesion mask of sub-0"),
        (["derivatives", "--after", "haca3"], 65, "not on the same grid"),  # the template's brain
    ],
)
def test_what_cannot_be_compared_is_a_sentence(arguments, code, sentence, cohort, capsys, monkeypatch) -> None:
    from haca3_bids.cli.evaluate import given

    monkeypatch.chdir(cohort)
    template = Namespace(brain=Volume(np.ones((9, 9, 9), np.float32), AFFINE))
    monkeypatch.setattr(given, "template_of", lambda *_: template)
    assert run(*arguments) == code
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "affine", "sentence"),
    [(np.full(SHAPE, 5.0), AFFINE, "is constant"), (ball(6), np.diag([1.0, 1, 2, 1]), "does not share the grid")],
)
def test_images_that_cannot_be_compared_are_named(data, affine, sentence, cohort, capsys, tmp_path) -> None:
    wrong = save(data, tmp_path / name(Path(), 1, "A", "desc-haca3B_T1w").name, affine)
    options = ["--brain", cohort / "masks", "--target", "sub-0_ses-B", "--after", "haca3B", "--method", f"x={tmp_path}"]
    assert run(cohort / "derivatives", *options) == 65
    told = capsys.readouterr().err
    assert wrong.name in told
    assert sentence in told


def test_people_with_one_session_are_named(cohort, capsys, tmp_path) -> None:
    data = tmp_path / "derivatives"
    shutil.copytree(cohort / "derivatives", data)
    shutil.rmtree(data / "sub-1/ses-B")
    assert run(data, "--brain", cohort / "masks", "--after", "haca3", "--contrast", "T1w") == 0
    assert "Left out: sub-1 (1 with no pair of sessions with these images)." in capsys.readouterr().err


def test_people_with_one_session_are_no_travellers(tmp_path, capsys) -> None:
    describe(tmp_path)
    for desc in ("preproc", "haca3"):
        save(ball(6), name(tmp_path, 1, "A", f"desc-{desc}_T1w"))
    assert run(tmp_path) == 65
    assert "no subject with two sessions" in capsys.readouterr().err
