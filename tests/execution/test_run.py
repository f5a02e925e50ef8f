from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from fake_parts import AFFINE, SHAPE, head, make_dataset

from haca3_bids.bids.atomic import locked
from haca3_bids.bids.validate import run_validator
from haca3_bids.volumes.volume import save_volume

App = Callable[..., int]
Record = Callable[[str], dict[str, Any]]
SPACE = "space-MNI152NLin2009cSym_res-1"


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and "logs" not in path.parts}


def images(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*.nii.gz")}


def test_every_session_gets_its_images_and_the_run_exits_0(app: App, out: Path) -> None:
    assert app() == 0
    assert images(out) == {
        f"sub-01_{SPACE}_desc-preproc_T1w.nii.gz",
        f"sub-01_{SPACE}_desc-preproc_T2w.nii.gz",
        f"sub-01_{SPACE}_desc-haca3_T1w.nii.gz",
        f"sub-01_{SPACE}_desc-haca3_T2w.nii.gz",
        f"sub-02_{SPACE}_desc-preproc_T1w.nii.gz",
        f"sub-02_{SPACE}_desc-haca3_T1w.nii.gz",
    }
    anat = out / "sub-01" / "anat"
    assert (anat / "sub-01_from-T1w_to-MNI152NLin2009cSym_mode-image_xfm.txt").exists()
    assert (anat / "sub-01_from-MNI152NLin2009cSym_to-T1w_mode-image_xfm.txt").exists()
    assert (anat / "sub-01_from-T2w_to-T1w_mode-image_xfm.txt").exists()
    assert (out / "sub-01.html").exists()
    assert not list(out.glob(".partial*"))


def test_the_user_reads_what_is_being_done(app: App, dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app() == 0
    said = capsys.readouterr().out
    assert "sub-01: harmonizing" in said
    assert "sub-02: writing the outputs" in said
    assert "inputnode" not in said


def test_the_bids_validator_finds_no_error_in_the_output(app: App, out: Path) -> None:
    assert app("--extra-outputs", "attention", "beta", "--target", "T1w", "site2=T2w:1,2") == 0
    issues = run_validator(out)
    assert issues is not None
    assert [issue for issue in issues if issue["severity"] == "error"] == []


def test_the_sidecar_says_model_target_sources_and_scale(app: App, out: Path) -> None:
    app("--participant-label", "01")
    sidecar = json.loads((out / f"sub-01/anat/sub-01_{SPACE}_desc-haca3_T2w.json").read_text())
    assert sidecar["Sources"] == [f"bids::sub-01/anat/sub-01_{SPACE}_desc-preproc_{c}.nii.gz" for c in ("T1w", "T2w")]
    assert sidecar["Target"]["Theta"] == [1.0, 2.0]
    assert sidecar["WeightsSHA256"] == "f" * 64
    assert set(sidecar["SourceContrasts"]) == {"T1w", "T2w"}
    assert sidecar["SkullStripped"] is False
    assert "Resolution" in sidecar


def test_a_second_run_skips_what_is_finished(
    app: App, out: Path, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    app()
    before = (out / "sub-01/anat/sub-01_desc-haca3_qc.json").stat().st_mtime_ns
    assert app() == 0
    assert "0 done, 2 skipped, 0 failed" in capsys.readouterr().out
    assert (out / "sub-01/anat/sub-01_desc-haca3_qc.json").stat().st_mtime_ns == before
    (out / f"sub-02/anat/sub-02_{SPACE}_desc-haca3_T1w.nii.gz").unlink()
    assert app() == 0
    assert "1 done, 1 skipped, 0 failed" in capsys.readouterr().out


def test_a_changed_setting_or_input_is_processed_again(
    app: App, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app()
    app("--precision", "bf16")
    assert "2 done" in capsys.readouterr().out
    save_volume(head(5), dataset / "sub-01/anat/sub-01_T1w.nii.gz")
    app("--precision", "bf16")
    assert "1 done, 1 skipped" in capsys.readouterr().out


def test_reprocess_does_it_all_again(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    app()
    app("--reprocess")
    assert "2 done, 0 skipped" in capsys.readouterr().out.rpartition("-" * 72)[0].rpartition("-" * 72)[2]


def test_one_bad_subject_leaves_no_image_and_the_others_go_on(
    app: App, dataset: Path, out: Path, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    save_volume(head().with_data(np.full(SHAPE, 7)), dataset / "sub-02/anat/sub-02_T1w.nii.gz")
    assert app() == 1
    assert images(out / "sub-02") == set()
    assert not list(out.glob(".partial*"))
    assert len(images(out / "sub-01")) == 4
    said = capsys.readouterr().out
    assert "1 done, 0 skipped, 1 failed" in said
    assert "cause: sub-02_T1w.nii.gz is constant" in said
    assert record("sub-02")["status"] == "failed"
    assert (out / "sub-02.html").exists()


def flatten_affine(path: Path) -> None:
    """Write into the header that every voxel lies on one line."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    qform_code, srow_x, srow_y = slice(252, 254), slice(280, 296), slice(296, 312)  # offsets of the NIfTI-1 header
    content[qform_code], content[srow_x] = bytes(2), content[srow_y]
    path.write_bytes(gzip.compress(content))


NOISE = np.random.default_rng(0).random((24, 28, 1, 3)).astype(np.float32)
BAD: dict[str, Callable[[Path], object]] = {
    "is 4D": lambda p: nib.save(nib.Nifti1Image(np.resize(NOISE, (4, 4, 4, 3)), AFFINE), p),
    "is empty": lambda p: p.write_bytes(b""),
    "not finite": lambda p: nib.save(nib.Nifti1Image(np.full(SHAPE, np.nan, "f4"), AFFINE), p),
    "is constant": lambda p: nib.save(nib.Nifti1Image(np.full(SHAPE, 3, "f4"), AFFINE), p),
    "cannot be read": lambda p: p.write_bytes(p.read_bytes()[:2000]),
    "cannot be read as an image": lambda p: p.write_text("no image at all"),
    "has shape (24, 28, 1)": lambda p: nib.save(nib.Nifti1Image(NOISE[..., 0], AFFINE), p),
    "has an affine with zero determinant": lambda p: flatten_affine(p),
    "is a broken link": lambda p: (p.unlink(), p.symlink_to("/nowhere/T1w.nii.gz")),
}


@pytest.mark.parametrize("sentence", BAD)
def test_a_file_that_is_no_image_is_bad_input_with_its_own_sentence(
    app: App, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str], sentence: str
) -> None:
    bids = make_dataset(tmp_path / "bad", {"sub-01": ("T1w",)})
    BAD[sentence](bids / "sub-01/anat/sub-01_T1w.nii.gz")
    assert app(bids=bids) == 65
    assert sentence in capsys.readouterr().out
    assert images(out) == set()


def test_a_killed_network_process_is_a_temporary_failure(
    app: App, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FAKE_ENGINE", "killed")
    assert app() == 75
    said = capsys.readouterr().out
    assert "while harmonizing" in said
    assert "was killed (signal 9)" in said
    assert images(out) == set()


def test_what_the_engine_refuses_is_told_in_its_own_words(
    app: App, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FAKE_ENGINE", "refuses")
    assert app() == 65
    assert (
        "cause: No source shows anything of a head.\n           try:   Look at the images." in capsys.readouterr().out
    )


def test_a_subject_that_another_process_holds_is_left_to_it(app: App, out: Path) -> None:
    with locked(out, "sub-01"):
        assert app("--participant-label", "01") == 75
        assert app() == 1
    assert images(out / "sub-01") == set()
    assert len(images(out / "sub-02")) == 2


def test_sources_never_cross_sessions(fakes: None, app: App, tmp_path: Path, out: Path, record: Record) -> None:
    bids = make_dataset(tmp_path / "two", {"sub-01_ses-1": ("T1w",), "sub-01_ses-2": ("T2w", "PDw")})
    assert app("--target", "T1w", bids=bids) == 0
    jobs = {name: record(name)["harmonization"]["job"]["sources"] for name in ("sub-01_ses-1", "sub-01_ses-2")}
    assert set(jobs["sub-01_ses-1"]) == {"T1w"}
    assert set(jobs["sub-01_ses-2"]) == {"T2w", "PDw"}
    assert len(images(out / "sub-01/ses-1")) == 2
    assert len(images(out / "sub-01/ses-2")) == 3


def test_a_session_without_usable_image_is_skipped_and_named(
    app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bids = make_dataset(tmp_path / "some", {"sub-01": ("T1w",), "sub-02": ("T2starw",)})
    assert app(bids=bids) == 0
    said = capsys.readouterr().out
    assert "1 done, 1 skipped, 0 failed" in said
    assert "sub-02_T2starw.nii.gz: T2starw is not one of T1w, T2w, PDw, FLAIR" in said


def test_other_weights_are_refused_for_the_same_output(app: App, out: Path) -> None:
    app()
    before = files(out)
    assert app("--weights", "other") == 73
    assert app("--fusion-weights", "median") == 73
    assert app("--variant", "haca3plus") == 73
    assert files(out) == before


def test_another_target_under_the_same_name_is_refused(app: App, out: Path) -> None:
    app("--target", "site2=T2w:1,2")
    sidecar = out / f"sub-01/anat/sub-01_{SPACE}_desc-haca3site2_T2w.json"
    before = sidecar.read_text()
    assert app("--target", "site2=T2w:3,4") == 73
    assert sidecar.read_text() == before
    assert app("--target", "site3=T2w:3,4") == 0
    assert sidecar.read_text() == before
    assert "desc-haca3site3" in (out / "descriptions.tsv").read_text()


def test_the_record_keeps_the_images_of_earlier_targets(app: App, record: Record) -> None:
    app("--target", "a=T2w:1,2")
    app("--target", "b=T1w:1,2")
    targets = {image["target"]["name"] for image in record("sub-01")["harmonization"]["images"]}
    assert targets == {"a", "b"}


def test_a_killed_run_goes_on_where_it_was(app: App, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_ENGINE", "killed")
    app()
    monkeypatch.setenv("FAKE_ENGINE", "")
    assert app() == 0
    assert len(images(out)) == 6


def test_the_dataset_says_what_made_it_and_from_what(app: App, out: Path) -> None:
    app()
    description = json.loads((out / "dataset_description.json").read_text())
    assert description["GeneratedBy"][0]["Name"] == "haca3_bids"
    assert description["DatasetLinks"] == {"raw": "../raw"}
    assert "*_xfm.*" in (out / ".bidsignore").read_text().splitlines()


def test_nothing_shareable_holds_a_path_of_this_machine(app: App, out: Path, tmp_path: Path) -> None:
    app("--work-dir", str(tmp_path / "scratch"), "--extra-outputs", "attention")
    for path in out.rglob("*"):
        if path.is_file() and path.suffix in (".json", ".tsv", ".html", ".md") and "logs" not in path.parts:
            assert str(tmp_path) not in path.read_text(), path


def test_logs_hold_settings_messages_and_methods(app: App, out: Path) -> None:
    app("--seed", "3")
    (logs,) = [path for path in (out / "logs").iterdir() if path.name != "locks"]
    assert {"config.toml", "run.json", "log.txt", "CITATION.md", "CITATION.html", "CITATION.bib"} <= {
        path.name for path in logs.iterdir()
    }
    about = json.loads((logs / "run.json").read_text())
    assert about["exit_code"] == 0
    assert {one["name"]: one["status"] for one in about["sessions"]} == {"sub-01": "done", "sub-02": "done"}


def test_invalid_bids_is_found_before_anything_is_written(app: App, dataset: Path, out: Path) -> None:
    (dataset / "sub-01/anat/T1w.nii.gz").write_bytes(b"x")
    assert app("--validate") == 16
    assert not out.exists()


def test_a_defaced_head_is_written_inside_its_mask_only(
    app: App, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    app("--participant-label", "02")
    assert record("sub-02")["harmonization"]["job"]["masked"] is False
    monkeypatch.setenv("FAKE_DEFACED", "1")
    app("--participant-label", "02", "--reprocess", "--clean-workdir")
    assert record("sub-02")["harmonization"]["job"]["masked"] is True
