"""A run that is started again: what is finished is neither read nor made anew, but judged by the run's own limits."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_parts import fake_weights, head, make_dataset

from haca3_bids.execution.targets import TargetRequest, image_fingerprint
from haca3_bids.settings import HarmonizationSettings, Settings
from haca3_bids.volumes.volume import save_volume

App = Callable[..., int]
Record = Callable[[str], dict[str, Any]]


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are hashed by the process that runs the test."""
    from haca3_bids.bids import record as module

    names: list[str] = []
    real = module.file_sha256

    def watched(path: Path) -> str:
        names.append(path.name)
        return real(path)

    monkeypatch.setattr(module, "file_sha256", watched)
    module._hashed.cache_clear()
    return names


@pytest.mark.parametrize("options", [(), ("--longitudinal",)])
def test_a_finished_input_of_the_same_size_and_time_is_not_hashed_again(
    app: App, tmp_path: Path, hashed: list[str], capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    bids = make_dataset(tmp_path / "visits", {"sub-01_ses-1": ("T1w",), "sub-01_ses-2": ("T1w",)})
    assert app(*options, bids=bids) == 0
    hashed.clear()
    assert app(*options, bids=bids) == 0
    assert "0 done, 2 skipped" in capsys.readouterr().out
    assert hashed == []


def test_a_sidecar_whose_protocol_changed_is_processed_again(
    app: App, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is the prior of theta, and so changes voxels; another comment changes none."""
    sidecar = dataset / "sub-02/anat/sub-02_T1w.json"
    protocol = {"MagneticFieldStrength": 3, "RepetitionTime": 2.3, "EchoTime": 0.003, "InversionTime": 0.9}
    for content, done in ((protocol, 1), (protocol | {"Comment": "x"}, 0), (protocol | {"InversionTime": 1.0}, 1)):
        sidecar.write_text(json.dumps(content))
        assert app("--participant-label", "02") == 0
        assert f"{done} done, {1 - done} skipped" in capsys.readouterr().out


def test_an_input_of_another_time_is_hashed_once_and_then_known(app: App, dataset: Path, hashed: list[str]) -> None:
    assert app("--participant-label", "02") == 0
    hashed.clear()
    os.utime(dataset / "sub-02/anat/sub-02_T1w.nii.gz", (1, 1))
    for _ in range(2):
        assert app("--participant-label", "02") == 0
        assert hashed == ["sub-02_T1w.nii.gz"]


def test_an_input_of_other_content_is_found_whatever_its_size(
    app: App, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = dataset / "sub-02/anat/sub-02_T1w.nii.gz"
    assert app("--participant-label", "02") == 0
    content = path.stat()
    save_volume(head(7), path)
    os.utime(path, ns=(content.st_mtime_ns, content.st_mtime_ns + 1))
    assert app("--participant-label", "02") == 0
    assert capsys.readouterr().out.count("1 done, 0 skipped") == 2


def test_a_record_says_neither_size_nor_time_of_an_input(app: App, dataset: Path, record: Record) -> None:
    assert app("--participant-label", "02") == 0
    found = (dataset / "sub-02/anat/sub-02_T1w.nii.gz").stat()
    assert str(found.st_mtime_ns) not in str(record("sub-02"))
    assert len(record("sub-02")["completion"]["stamps"]["T1w"]) == 16


def test_the_limits_of_a_run_reach_sessions_that_were_finished_before(
    app: App, out: Path, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app("--participant-label", "02") == 0
    usual = record("sub-02")["quality"]["verdict"]
    before = sorted(path for path in out.rglob("*.nii.gz"))
    times = [path.stat().st_mtime_ns for path in before]
    assert app("--participant-label", "02", "--qc-thresholds", "csf_floor=0.001:0.002") == 0
    assert "0 done, 1 skipped" in capsys.readouterr().out
    assert record("sub-02")["quality"]["verdict"] == "fail" != usual
    assert record("sub-02")["quality"]["thresholds_changed"] == [["csf_floor", 0.001, 0.002]]
    assert "csf floor" in (out / "sub-02.html").read_text()
    assert app("--participant-label", "02") == 0
    assert record("sub-02")["quality"]["verdict"] == usual
    assert [path.stat().st_mtime_ns for path in before] == times


@pytest.mark.parametrize("again", [("--reprocess",), ()])
def test_a_later_failure_keeps_the_images_and_stays_in_view_until_a_run_succeeds(
    app: App, out: Path, record: Record, monkeypatch: pytest.MonkeyPatch, again: tuple[str, ...]
) -> None:
    words = ("--participant-label", "02")
    said = "The last run failed: No source shows anything of a head; these images are from an earlier run."
    assert app(*words) == 0
    images = {path: path.read_bytes() for path in out.rglob("*.nii.gz")}
    with monkeypatch.context() as patched:
        patched.setenv("FAKE_ENGINE", "refuses")
        assert app(*words, "--reprocess") == 65
    assert {path: path.read_bytes() for path in out.rglob("*.nii.gz")} == images
    assert record("sub-02")["status"] == "done"
    for limits in ((), ("--qc-thresholds", "noise=none")):
        assert app("--reports-only", *limits) == 0
        assert record("sub-02")["quality"]["verdict"] == "look"
        page = (out / "sub-02.html").read_text()
        assert said in page
        assert "Look at the images." in page
        assert app(*limits, level="group") == 0
        assert said in (out / "group_qc.tsv").read_text()
        assert said in (out / "group.html").read_text()
    assert app(*words, *again) == 0
    assert record("sub-02")["quality"]["verdict"] == "pass"
    assert record("sub-02")["error"] is None
    assert "The last run failed" not in (out / "sub-02.html").read_text()


SHAPING = {
    "preprocessing": {
        "template": "builtin",
        "sloppy": True,
        "seed": 1,
        "super_resolution": "builtin",
        "force": ("registration",),
    },
    "harmonization": {"background": "none", "precision": "bf16", "like_authors": True},
}
NOT_SHAPING = {
    "preprocessing": {"threads": 4, "device": "cuda", "longitudinal": True},
    "harmonization": {"beta": "sample", "samples": 3, "device": "cpu", "threads": 2},
}


def target_fingerprints(tmp_path: Path, changes: dict[str, dict[str, Any]]) -> list[str]:
    """Of one image, with each setting changed by itself; the first with none."""
    save_volume(head(), tmp_path / "a_T1w.nii.gz")
    request = TargetRequest("x", "x", images={"T1w": tmp_path / "a_T1w.nii.gz"})
    settings, weights = Settings(tmp_path, tmp_path / "out"), fake_weights(HarmonizationSettings())
    changed = [settings] + [
        dataclasses.replace(settings, **{group: dataclasses.replace(getattr(settings, group), **{key: value})})
        for group, own in changes.items()
        for key, value in own.items()
    ]
    return [image_fingerprint(request, one, weights) for one in changed]


def test_the_fingerprint_of_a_target_holds_all_that_shaped_it(tmp_path: Path) -> None:
    found = target_fingerprints(tmp_path, SHAPING)
    assert len(set(found)) == len(found)
    weights = fake_weights(HarmonizationSettings(variant="haca3plus"))
    request = TargetRequest("x", "x", images={"T1w": tmp_path / "a_T1w.nii.gz"})
    assert image_fingerprint(request, Settings(tmp_path, tmp_path / "out"), weights) not in found


def test_the_fingerprint_of_a_target_holds_nothing_that_did_not_shape_it(tmp_path: Path) -> None:
    assert len(set(target_fingerprints(tmp_path, NOT_SHAPING))) == 1


def test_a_target_that_comes_out_the_same_under_other_settings_is_known_by_them(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("--target", "x=sub-01", "--participant-label", "02")
    assert app(*words) == 0
    assert app(*words, "--seed", "3") == 0  # encoded again: the stand-in gives the same numbers
    monkeypatch.setattr("haca3_bids.execution.encode._encode", None)
    assert app(*words, "--seed", "3") == 0


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("step", ["n4", "draw", "harmonize"])
def test_a_session_whose_scratch_was_partly_cleaned_starts_anew_and_the_others_go_on(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], step: str
) -> None:
    """Clusters remove old files from their temporary folders, one by one."""
    words = ("--work-dir", str(tmp_path / "work"))
    with monkeypatch.context() as patched:
        patched.setattr("haca3_bids.interfaces.derivatives.write_session", full)
        assert app(*words) == 74
    folder = next((tmp_path / "work").rglob(f"sub_02_wf/**/{step}"))
    for path in [one for one in folder.rglob("*") if one.suffix in (".gz", ".jpg")]:
        path.unlink()
    assert app(*words) == 0
    said = capsys.readouterr().out
    assert "These sessions start anew: sub-02." in said
    assert "2 done, 0 skipped, 0 failed" in said


@pytest.mark.parametrize("name", ["T1w.nii.gz", "targets.json"])
def test_a_target_whose_scratch_was_partly_cleaned_is_encoded_anew(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    words = ("--work-dir", str(tmp_path / "work"), "--participant-label", "02", "--target", "sub-01")
    with monkeypatch.context() as patched:
        patched.setattr("haca3_bids.execution.encode.from_json", full)
        assert app(*words) == 74
    for path in (tmp_path / "work").rglob(name):
        path.unlink()
    assert app(*words) == 0
    assert "the targets are encoded anew" in capsys.readouterr().out
