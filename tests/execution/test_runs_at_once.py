"""Several runs at once on one output and one scratch folder: as an array of jobs does, and people who share a study."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from fake_parts import make_dataset

from haca3_bids.bids.atomic import locked
from haca3_bids.bids.validate import run_validator
from haca3_bids.cli.app import main

SUBJECTS = ("01", "02", "03", "04", "05", "06")
EACH = 3  # subjects of one run: every subject is asked for by four of the eight runs
RUNS = 8
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")


def run_at_once(commands: Sequence[Sequence[str]]) -> list[int]:
    """The exit codes of the App for each command line, all started in the same moment."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(len(commands))
    processes = [context.Process(target=_start, args=(barrier, list(words))) for words in commands]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [int(process.exitcode if process.exitcode is not None else -1) for process in processes]


def _start(barrier: Any, words: list[str]) -> None:
    barrier.wait()
    sys.exit(main(words))


def how_they_ended(out: Path) -> list[dict[str, Any]]:
    """Every session of every run, as the logs say."""
    return [one for path in out.glob("logs/*/run.json") for one in json.loads(path.read_text())["sessions"]]


@pytest.mark.parametrize("attempt", [0, *(pytest.param(number, marks=pytest.mark.slow) for number in range(1, 5))])
def test_eight_runs_do_every_session_once_and_lose_none(fakes: None, tmp_path: Path, attempt: int) -> None:
    bids = make_dataset(tmp_path / "raw", {f"sub-{label}": ("T1w",) for label in SUBJECTS})
    out, work = tmp_path / "out", tmp_path / "work"
    common = [str(bids), str(out), "participant", "--skip-bids-validation", "--nprocs", "1", "--work-dir", str(work)]
    common += ["--target", f"site=T1w:{attempt},1", f"image={bids}/sub-01/anat/sub-01_T1w.nii.gz"]
    asked = [[SUBJECTS[(run + n) % len(SUBJECTS)] for n in range(EACH)] for run in range(RUNS)]
    codes = run_at_once([[*common, "--participant-label", *labels] for labels in asked])
    ended = how_they_ended(out)
    assert Counter(one["name"] for one in ended if one["status"] == "done") == {f"sub-{one}": 1 for one in SUBJECTS}
    lost = [one for one in ended if one["status"] == "failed" and "Another process" not in one["error"]]
    assert lost == []
    assert set(codes) <= {0, 1, 75}
    logs = [path.read_text() for path in out.glob("logs/*/log.txt")]
    assert len(logs) == RUNS
    assert sum("Encoding image=" in text for text in logs) == 1
    for label in SUBJECTS:
        record = json.loads((out / f"sub-{label}/anat/sub-{label}_desc-haca3_qc.json").read_text())
        assert record["status"] == "done"
        assert len(record["harmonization"]["images"]) == 2
        assert (out / f"sub-{label}.html").is_file()
    issues = run_validator(out)
    assert [issue for issue in issues or () if issue["severity"] == "error"] == []
    assert not [path.name for path in out.rglob(".*") if path.name not in (".bidsignore", ".gitignore")]


def test_the_sessions_of_a_subject_can_be_divided_among_jobs(fakes: None, tmp_path: Path) -> None:
    visits = ("1", "2", "3", "4")
    bids, out = make_dataset(tmp_path / "raw", {f"sub-01_ses-{visit}": ("T1w",) for visit in visits}), tmp_path / "out"
    common = [str(bids), str(out), "participant", "--skip-bids-validation", "--nprocs", "1"]
    common += ["--work-dir", str(tmp_path / "work"), "--session-label"]
    assert run_at_once([[*common, visit] for visit in visits]) == [0, 0, 0, 0]
    page = (out / "sub-01.html").read_text()
    for visit in visits:
        record = json.loads((out / f"sub-01/ses-{visit}/anat/sub-01_ses-{visit}_desc-haca3_qc.json").read_text())
        assert record["status"] == "done"
        assert f"ses-{visit}" in page
    assert not [path.name for path in out.rglob(".*") if path.name not in (".bidsignore", ".gitignore")]


def test_a_page_is_not_written_again_while_its_subject_is_processed(
    app: Callable[..., int], out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app() == 0
    pages = [out / "sub-01.html", out / "sub-02.html"]
    records = [path.read_bytes() for path in out.rglob("*_qc.json")]
    for path in pages:
        path.write_text("old")
    strict = ("--reports-only", "--qc-thresholds", "csf_floor=0.001:0.002")
    with locked(out, "sub-01"):
        assert app("--participant-label", "01", *strict) == 75
        assert [path.read_bytes() for path in out.rglob("*_qc.json")] == records
        assert app(*strict) == 1
    assert "sub-01 is left out: Another process is processing sub-01 in out. Wait" in capsys.readouterr().out
    assert [path.read_text() == "old" for path in pages] == [True, False]


def test_a_page_whose_partial_file_is_removed_by_another_run_is_told_in_a_sentence(
    app: Callable[..., int], out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which happens only on a file system without locks."""
    real = os.replace

    def removed(source: Path, target: Path) -> None:
        if target.name == "sub-01.html":
            source.unlink()
        real(source, target)

    assert app() == 0
    monkeypatch.setattr(os, "replace", removed)
    assert app("--reports-only") == 1
    assert "sub-01 is left out: A file of sub-01 was removed." in capsys.readouterr().out
