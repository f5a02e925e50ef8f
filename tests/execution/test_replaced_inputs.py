"""A session whose inputs or settings changed: what was made from other inputs goes, what other settings made stays."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_parts import head, make_dataset

from haca3_bids.errors import CannotCreate
from haca3_bids.volumes.volume import save_volume

App = Callable[..., int]
Record = Callable[[str], dict[str, Any]]
SPACE = "space-MNI152NLin2009cSym_res-1"
NATIVE = "sub-01_space-T1w_desc-haca3_T1w.nii.gz"
ONE = ("--participant-label", "01")


def files(out: Path) -> set[str]:
    return {path.name for path in (out / "sub-01").rglob("*") if path.is_file()}


def replace_scan(dataset: Path) -> None:
    save_volume(head(9), dataset / "sub-01/anat/sub-01_T1w.nii.gz")


def test_nothing_stays_of_a_scan_that_is_excluded(app: App, dataset: Path, out: Path, record: Record) -> None:
    assert app(*ONE) == 0
    assert any("T2w" in name and name.endswith(".jpg") for name in files(out))
    (dataset / ".bidsignore").write_text("*_T2w.nii.gz\n")
    assert app(*ONE) == 0
    assert {name for name in files(out) if "T2w" in name} == set()
    assert [one["target"]["contrast"] for one in record("sub-01")["harmonization"]["images"]] == ["T1w"]
    assert record("sub-01")["notes"] == []
    assert app(level="group") == 0
    assert "\tT2w\t" not in (out / "group_contrast.tsv").read_text()
    assert app(*ONE, "--target", "T2w") == 0  # another target of the same scan
    assert f"sub-01_{SPACE}_desc-haca3_T1w.nii.gz" in files(out)


def test_a_native_image_of_a_replaced_scan_goes_and_one_of_other_settings_stays(
    app: App, dataset: Path, out: Path, record: Record
) -> None:
    assert app(*ONE, "--output-spaces", "native") == 0
    assert app(*ONE) == 0
    assert NATIVE in files(out)
    (note,) = record("sub-01")["notes"]
    assert "which this run did not make again" in note
    assert NATIVE in note
    assert app(*ONE, "--reprocess") == 0
    assert record("sub-01")["notes"] == [note]
    replace_scan(dataset)
    assert app(*ONE) == 0
    assert NATIVE not in files(out)
    assert NATIVE.replace(".nii.gz", ".json") not in files(out)
    assert record("sub-01")["notes"] == []


def test_other_targets_of_the_same_scans_stay_and_those_of_replaced_scans_go(
    app: App, dataset: Path, out: Path, record: Record
) -> None:
    def targets() -> set[str]:
        return {image["target"]["name"] for image in record("sub-01")["harmonization"]["images"]}

    assert app(*ONE, "--target", "a=T2w:1,2") == 0
    assert app(*ONE, "--target", "b=T1w:1,2", "--precision", "bf16") == 0
    assert app(*ONE, "--target", "c=T1w:3,2", "--precision", "bf16") == 0
    assert targets() == {"a", "b", "c"}
    (note,) = record("sub-01")["notes"]
    assert "desc-haca3a_T2w.nii.gz" in note
    assert "haca3b" not in note
    assert set(record("sub-01")["quality"]["images"]) == {"haca3a_T2w", "haca3b_T1w", "haca3c_T1w"}
    replace_scan(dataset)
    assert app(*ONE, "--target", "c=T1w:3,2", "--precision", "bf16") == 0
    assert targets() == {"c"}
    assert {name for name in files(out) if "haca3a" in name or "haca3b" in name} == set()


def test_a_missing_image_of_another_target_does_not_stop_the_session(app: App, out: Path) -> None:
    assert app(*ONE, "--target", "a=T2w:1,2") == 0
    assert app(*ONE, "--target", "b=T1w:1,2") == 0
    (out / f"sub-01/anat/sub-01_{SPACE}_desc-haca3a_T2w.nii.gz").unlink()
    assert app(*ONE, "--target", "b=T1w:1,2") == 0
    assert app(*ONE, "--target", "a=T2w:1,2") == 0
    assert f"sub-01_{SPACE}_desc-haca3a_T2w.nii.gz" in files(out)


def test_what_was_outdated_when_a_run_was_broken_off_goes_with_the_next(
    app: App, dataset: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from haca3_bids.bids import derivatives

    def broken(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    assert app(*ONE, "--target", "a=T2w:1,2") == 0
    replace_scan(dataset)
    with monkeypatch.context() as patched:
        patched.setattr(derivatives, "remove_outdated", broken)
        assert app(*ONE, "--target", "b=T1w:1,2") == 73
    assert any("haca3a_T2w" in name for name in files(out))
    assert app(*ONE, "--target", "b=T1w:1,2") == 0
    assert not any("haca3a_T2w" in name for name in files(out))


def test_a_record_cannot_have_files_removed_elsewhere(app: App, dataset: Path, out: Path) -> None:
    assert app() == 0
    path = out / "sub-01/anat/sub-01_desc-haca3_qc.json"
    content = json.loads(path.read_text())
    others = ["sub-02.html", "sub-01/../sub-02.html", str(out / "sub-02.html")]
    content["completion"]["outputs"] |= dict.fromkeys(others, 1)
    path.write_text(json.dumps(content))
    replace_scan(dataset)
    assert app(*ONE) == 0
    assert (out / "sub-02.html").is_file()


def test_a_run_with_fewer_or_more_scans_removes_nothing(app: App, dataset: Path, out: Path, record: Record) -> None:
    assert app(*ONE, "--target", "a=T2w:1,2") == 0
    before = files(out)
    assert app(*ONE, "--modalities", "T1w", "--target", "b=T1w:1,2") == 0
    assert before <= files(out)
    assert {one["target"]["name"] for one in record("sub-01")["harmonization"]["images"]} == {"a", "b"}
    save_volume(head(3), dataset / "sub-01/anat/sub-01_PDw.nii.gz")
    assert app(*ONE, "--target", "b=T1w:1,2") == 0
    assert before <= files(out)
    (dataset / "sub-01/anat/sub-01_T2w.nii.gz").unlink()
    assert app(*ONE, "--target", "b=T1w:1,2") == 0
    assert not any("haca3a_T2w" in name for name in files(out))


@pytest.mark.parametrize("change", ["replaced", "deleted", "ignored"])
def test_a_scan_that_one_run_left_out_is_not_forgotten(app: App, dataset: Path, out: Path, change: str) -> None:
    scan = dataset / "sub-01/anat/sub-01_T2w.nii.gz"
    assert app(*ONE, "--target", "a=T2w:1,2") == 0
    assert app(*ONE, "--modalities", "T1w", "--target", "b=T1w:1,2") == 0
    assert any("haca3a_T2w" in name for name in files(out))
    if change == "replaced":
        save_volume(head(9), scan)
    elif change == "deleted":
        scan.unlink()
    else:
        (dataset / ".bidsignore").write_text("*_T2w.nii.gz\n")
    assert app(*ONE, "--target", "b=T1w:1,2") == 0
    assert not any("haca3a_T2w" in name for name in files(out))


def test_a_deleted_scan_is_missed_though_a_filter_leaves_out_another_of_its_contrast(
    app: App, dataset: Path, out: Path, tmp_path: Path
) -> None:
    anat, filters = dataset / "sub-01/anat", tmp_path / "filters.json"
    filters.write_text(json.dumps({"t2w": {"acquisition": "good"}}))
    save_volume(head(5), anat / "sub-01_acq-good_T2w.nii.gz")
    asked = (*ONE, "--bids-filter-file", str(filters))
    assert app(*asked, "--target", "a=T2w:1,2") == 0
    (anat / "sub-01_acq-good_T2w.nii.gz").unlink()
    assert app(*asked, "--target", "b=T1w:1,2") == 0
    assert not any("haca3a_T2w" in name for name in files(out))


def test_files_of_another_person_stay_also_if_the_last_run_was_broken_off(
    app: App, dataset: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from haca3_bids.bids import derivatives

    def broken(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    assert app(*ONE) == 0
    with monkeypatch.context() as patched:
        patched.setattr(derivatives, "remove_outdated", broken)
        assert app(*ONE, "--reprocess") == 73
    before = files(out)
    other = make_dataset(tmp_path / "other", {"sub-01": ("T1w",)})
    save_volume(head(7), other / "sub-01/anat/sub-01_T1w.nii.gz")
    description = other / "dataset_description.json"
    description.write_text(json.dumps(json.loads(description.read_text()) | {"Name": "another study"}))
    assert app(*ONE, bids=other) == 73
    assert before <= files(out)


def test_a_session_that_cannot_be_written_stops_no_other(
    app: App, out: Path, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    from haca3_bids.execution import publish

    assert app(*ONE) == 0
    monkeypatch.setattr(publish, "write_failure", lambda *_: (_ for _ in ()).throw(PermissionError(13, "denied")))
    monkeypatch.setattr("haca3_bids.execution.plan.check_room", refuse_first)
    assert app("--reprocess") == 1
    assert record("sub-02")["status"] == "done"


def refuse_first(_: object, session: Any) -> None:
    if session.subject == "01":
        raise CannotCreate("The folder is closed.", "Open it.")
