"""Whole runs on datasets as they are found: the healthy part is done, the rest is named, what is written is valid."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_parts import make_dataset

from haca3_bids.bids.validate import run_validator

App = Callable[..., int]
Record = Callable[[str], dict[str, Any]]


def assert_valid(out: Path) -> None:
    """No error by the validator, and no number in any JSON file that is none."""
    issues = run_validator(out)
    assert issues is not None
    assert [issue for issue in issues if issue["severity"] == "error"] == []
    for path in out.rglob("*.json"):
        json.loads(path.read_text(), parse_constant=pytest.fail)


@pytest.mark.parametrize("options", [(), ("--longitudinal",)])
def test_labels_with_a_plus_go_through_the_whole_run(
    app: App, tmp_path: Path, out: Path, record: Record, options: tuple[str, ...]
) -> None:
    bids = make_dataset(tmp_path / "plus", {"sub-0+1_ses-a+": ("T1w",), "sub-0+1_ses-b": ("T1w",), "sub-01": ("T1w",)})
    assert app(*options, "--validate", bids=bids) == 0
    assert record("sub-0+1_ses-a+")["status"] == "done"
    assert (out / "sub-0+1.html").exists()
    assert_valid(out)
    assert app(level="group", bids=bids) == 0


def test_sessions_that_are_refused_leave_the_others_their_run(
    app: App, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sessions = {f"sub-01_ses-{label}": ("T1w",) for label in ("2020-01-15", "2020-06-20", "3")}
    bids = make_dataset(tmp_path / "dates", sessions | {"sub-site-01": ("T1w",), "sub-02_ses-1": ("T1w",)})
    (bids / "sub-02/ses-1/anat/sub-02_ses-1_T1w.nii.gz").rename(bids / "sub-02/ses-1/anat/sub-02_ses-2_T1w.nii.gz")
    assert app("--validate", bids=bids) == 1
    said = capsys.readouterr().out
    for words in (
        "1 done, 0 skipped, 4 failed",
        "the label '2020-01-15'",
        "the label '2020-06-20'",
        "the label 'site-01'",
        "the file name contains ses-2, its folder ses-1",
    ):
        assert words in said
    assert {path.name for path in out.glob("sub-*")} == {"sub-01", "sub-01.html", "sub-02", "sub-02.html"}
    assert {path.name for path in (out / "sub-01").iterdir()} == {"ses-3", "figures"}
    assert_valid(out)
    assert app("--participant-label", "02", bids=bids) == 65


def test_a_broken_sidecar_is_on_the_page_and_leaves_no_trace_in_others(
    app: App, dataset: Path, out: Path, record: Record
) -> None:
    (dataset / "sub-01/anat/sub-01_T1w.json").write_text('{"EchoTime": NaN, "FlipAngle": "steep", "Manufacturer": "x"}')
    (dataset / "sub-01/anat/sub-01_T2w.json").write_text('{"EchoTime": 0.1,}')
    (dataset / "sub-02/anat/sub-02_T1w.json").write_bytes(b'\xef\xbb\xbf{"Manufacturer": "M\xc3\xbcller"}')
    assert app("--validate") == 0
    notes = " ".join(record("sub-01")["notes"])
    assert "EchoTime of sub-01_T1w.json is not a finite number" in notes
    assert "sub-01_T2w.json is not valid JSON" in notes
    assert "sub-01_T2w.json is not valid JSON" in (out / "sub-01.html").read_text()
    (sidecar,) = (out / "sub-01").rglob("*_desc-preproc_T1w.json")
    own = json.loads(sidecar.read_text())
    assert (own["Manufacturer"], own.get("EchoTime"), own.get("FlipAngle")) == ("x", None, None)
    (sidecar,) = (out / "sub-02").rglob("*_desc-preproc_T1w.json")
    assert json.loads(sidecar.read_text())["Manufacturer"] == "Müller"
    assert_valid(out)


def test_an_error_that_nobody_foresaw_is_the_subject_s_own(
    app: App, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from haca3_bids.bids import discover

    original = discover.choose

    def broken(candidates: Any) -> Any:
        if "sub-01" in candidates[0].path.name:
            raise ZeroDivisionError("voxels of 0")
        return original(candidates)

    monkeypatch.setattr(discover, "choose", broken)
    assert app() == 1
    assert "The files of sub-01 cannot be understood (ZeroDivisionError: voxels of 0)" in capsys.readouterr().out
    assert list((out / "sub-02").rglob("*_desc-haca3_*.nii.gz"))


def test_a_session_for_which_the_weights_bring_no_target_stops_no_other(
    app: App, tmp_path: Path, out: Path, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    bids = make_dataset(tmp_path / "mixed", {"sub-01": ("PDw",), "sub-02": ("T1w",)})
    assert app("--dry-run", bids=bids) == 1
    assert app(bids=bids) == 1
    assert "have no reference for PDw" in capsys.readouterr().out
    assert record("sub-01")["status"] == "failed"
    assert record("sub-02")["status"] == "done"
