"""Another dataset in the same output: its people do not replace others, and no ordinary rerun is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_parts import head, make_dataset

from haca3_bids.bids.origin import may_be_same
from haca3_bids.volumes.volume import save_volume

App = Callable[..., int]
Record = Callable[[str], dict[str, Any]]


def describe(bids: Path, **changes: str) -> Path:
    path = bids / "dataset_description.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return bids


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Two other people with the labels of ``dataset``, and one more."""
    bids = make_dataset(tmp_path / "other", {"sub-02": ("T1w",), "sub-01": ("T1w", "T2w"), "sub-03": ("T1w",)})
    return describe(bids, Name="other heads")


def content(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_people_of_another_dataset_are_not_replaced(
    app: App, out: Path, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app() == 0
    before = content(out)
    for options in ((), ("--dry-run",), ("--participant-label", "01", "--reprocess")):
        assert app(*options, bids=other) == 73
    assert content(out) == before
    said = capsys.readouterr().err
    assert "out has another sub-01, of the dataset 'heads': none of its scans is in 'other heads'." in said
    assert "Choose another OUTPUT_DIR." in said
    assert app("--participant-label", "03", bids=other) == 0


def test_a_session_that_another_run_finished_meanwhile_is_not_replaced_either(
    app: App, other: Path, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert app() == 0
    before = record("sub-01")
    monkeypatch.setattr("haca3_bids.execution.run.check_origin", lambda *_: None)
    assert app(bids=other) == 1
    assert record("sub-01") == before
    assert record("sub-03")["status"] == "done"


def test_a_renamed_moved_or_corrected_dataset_is_the_same(
    app: App, dataset: Path, record: Record, tmp_path: Path
) -> None:
    assert app() == 0
    moved = describe(Path(shutil.copytree(dataset, tmp_path / "elsewhere")), Name="heads, second edition")
    save_volume(head(8), moved / "sub-01/anat/sub-01_T1w.nii.gz")  # its T2w is as before
    assert app(bids=moved) == 0
    assert record("sub-02")["dataset"] == {"Name": "heads, second edition"}
    for contrast in ("T1w", "T2w"):
        save_volume(head(9), moved / f"sub-01/anat/sub-01_{contrast}.nii.gz")
    save_volume(head(9), moved / "sub-02/anat/sub-02_T1w.nii.gz")
    assert app(bids=moved) == 0


def test_datasets_are_told_apart_by_what_both_say() -> None:
    one = {"Name": "a", "DatasetDOI": "doi:1"}
    assert may_be_same(one, {"Name": "A"})
    assert may_be_same(one, {"Name": "b", "DatasetDOI": "DOI:1"})
    assert may_be_same(one, {})
    assert not may_be_same(one, {"Name": "b"})
    assert not may_be_same(one, {"Name": "b", "DatasetDOI": "doi:2"})
