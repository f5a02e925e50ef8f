"""Databases of pybids that are missing, stale, foreign or no database: none of them decides what is found."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from as_found import SCAN, healthy_dataset, write_scan
from bids.layout import BIDSLayout

from haca3_bids.bids.database import FILE, keep_database


def listed(folder: Path) -> set[str]:
    return {Path(path).name for path in BIDSLayout(database_path=folder).get(datatype="anat", return_type="filename")}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return healthy_dataset(tmp_path / "raw")


def foreign(raw: Path, folder: Path) -> None:
    other = healthy_dataset(raw.parent / "other")
    keep_database(other, folder)


def gone(raw: Path, folder: Path) -> None:
    foreign(raw, folder)
    shutil.rmtree(raw.parent / "other")


def stale(raw: Path, folder: Path) -> None:
    keep_database(raw, folder)
    write_scan(raw / SCAN)


def removed(raw: Path, folder: Path) -> None:
    extra = write_scan(raw / SCAN)
    keep_database(raw, folder)
    extra.unlink()


def no_database(raw: Path, folder: Path) -> None:
    folder.mkdir()
    (folder / FILE).write_bytes(b"no database at all")


def empty_file(raw: Path, folder: Path) -> None:
    folder.mkdir()
    (folder / FILE).touch()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # pybids leaves connections to be collected
@pytest.mark.parametrize("prepare", [foreign, gone, stale, removed, no_database, empty_file])
def test_a_database_that_is_not_of_the_dataset_is_made_anew(
    prepare: Callable[[Path, Path], None], raw: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prepare(raw, tmp_path / "db")
    keep_database(raw, tmp_path / "db")
    assert listed(tmp_path / "db") == {path.name for path in raw.rglob("*.nii.gz")}
    assert "created again" in caplog.text
    assert [path.name for path in (tmp_path / "db").iterdir()] == [FILE]


def test_a_database_of_the_dataset_is_left_as_it_is(raw: Path, tmp_path: Path) -> None:
    write_scan(raw / SCAN)
    write_scan(raw / "sub-01/anat/old/sub-01_T1w.nii.gz")
    write_scan(raw / "sub-03/ses-a+b/anat/sub-03_ses-a+b_T2w.nii.gz")
    keep_database(raw, tmp_path / "db")
    before = (tmp_path / "db" / FILE).stat()
    keep_database(raw, tmp_path / "db")
    assert (tmp_path / "db" / FILE).stat().st_ino == before.st_ino


def test_a_database_that_cannot_be_made_is_a_warning(
    raw: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (write_scan(raw / SCAN).parent / "sub-01_T1w.json").write_text("{,}")
    with caplog.at_level(logging.WARNING):
        keep_database(raw, tmp_path / "db")
        keep_database(raw, raw / "dataset_description.json")
    assert caplog.text.count("cannot be created") == 2
    assert not list((tmp_path / "db").iterdir())
