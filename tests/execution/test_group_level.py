"""The level ``group`` and pages written again: from records alone, by the limits and columns of the run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from other_user import somebody_else
from simulated_cohort import write_cohort

from haca3_bids.bids.atomic import write_json
from haca3_bids.cli.app import main

App = Callable[..., int]
Record = Callable[[str], dict[str, Any]]


def test_the_group_level_collects_the_sidecars(app: App, out: Path) -> None:
    app()
    assert app(level="group") == 0
    lines = (out / "group_contrast.tsv").read_text().splitlines()
    assert len(lines) == 1 + 6
    assert lines[1].startswith("sub-01\tn/a\thaca3\tT1w\t1\t2\t0.3\t0.5")
    assert "sub-02" in (out / "group.html").read_text()
    assert len((out / "group_qc.tsv").read_text().splitlines()) == 1 + 2 + 3 + 3
    for name in ("group_contrast", "group_qc"):
        columns = (out / f"{name}.tsv").read_text().splitlines()[0].split("\t")
        assert list(json.loads((out / f"{name}.json").read_text())) == columns


def test_group_by_takes_a_column_that_there_is(app: App, dataset: Path, out: Path) -> None:
    (dataset / "participants.tsv").write_text("participant_id\tsite\thand\nsub-01\tA\tleft\nsub-02\tA\tright\n")
    app()
    assert app("--group-by", "hand", level="group") == 0
    assert '"colour":"hand"' in (out / "group.html").read_text()
    assert app("--group-by", "moon", level="group") == 64


def test_pages_are_rewritten_and_grouped_by_other_limits(app: App, out: Path, record: Record) -> None:
    app("--participant-label", "02")
    assert app("--reports-only", "--qc-thresholds", "csf_floor=0.001:0.002") == 0
    assert record("sub-02")["quality"]["verdict"] == "fail"
    assert "csf floor" in (out / "sub-02.html").read_text()
    assert app("--reports-only") == 0
    assert record("sub-02")["quality"]["verdict"] == "pass"
    assert app("--qc-thresholds", "csf_floor=0.001", level="group") == 0
    assert "\tlook\t" in (out / "group_qc.tsv").read_text()


def test_the_group_level_needs_a_participant_level_before(app: App, out: Path) -> None:
    out.mkdir()
    assert app(level="group") == 18


OTHERS = [("--boilerplate-only",), ("--reports-only",), ("group",)]


def ask(app: App, words: tuple[str, ...], *more: str) -> int:
    return app(*more, level="group") if words == ("group",) else app(*words, *more)


def content(out: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


@pytest.mark.parametrize("words", OTHERS)
def test_a_dry_run_of_what_only_writes_is_refused(
    app: App, out: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert app("--participant-label", "02") == 0
    before = content(out)
    assert ask(app, words, "--dry-run") == 64
    assert "--dry-run cannot be combined with" in capsys.readouterr().err
    assert content(out) == before


@pytest.mark.parametrize("words", OTHERS)
def test_the_folder_of_another_program_is_left_alone(
    app: App, out: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert app("--participant-label", "02") == 0
    (out / "logs/CITATION.md").write_text("fMRIPrep")
    (out / "sub-02.html").write_text("fMRIPrep")
    (out / "dataset_description.json").write_text(json.dumps({"Name": "x", "GeneratedBy": [{"Name": "fMRIPrep"}]}))
    before = content(out)
    assert ask(app, words) == 73
    assert "is a dataset that haca3-bids did not write" in capsys.readouterr().err
    assert content(out) == before


@pytest.fixture
def as_somebody_else(place: Path) -> Callable[..., int]:
    """``as_somebody_else("group", closed="out")``: the exit code of a run for whom a folder in ``place`` is closed."""
    out = place / "out"
    write_cohort(out, place / "raw", 2, people=2)
    write_json(out / "dataset_description.json", {"GeneratedBy": [{"Name": "haca3_bids"}]})
    (out / "logs").mkdir()
    for path in out.rglob("*_qc.json"):
        write_json(path, json.loads(path.read_text()) | {"completion": {}})

    def run(*words: str, closed: str) -> int:
        command = [str(place / "raw"), str(out), *(words if words == ("group",) else ("participant", *words))]
        assert main(command) == 0  # which imports what it needs: nobody may not read where root keeps its libraries
        for folder in (out, *(path for path in out.rglob("*") if path.is_dir())):
            folder.chmod(0o777)
        shutil.rmtree(out / "logs/locks", ignore_errors=True)
        (place / closed).chmod(0o555)
        with somebody_else():
            return main([*command, *(("--qc-thresholds", "brain_seen=2:3") if "--reports-only" in words else ())])

    return run


@pytest.mark.parametrize(
    ("words", "closed", "said"),
    [
        (("group",), "out", "out is not writable."),
        (("--reports-only",), "out", "out is not writable."),
        (("--boilerplate-only",), "out/logs", "logs is not writable."),
    ],
)
def test_an_output_that_is_read_only_cannot_be_created(
    as_somebody_else: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    closed: str,
    said: str,
) -> None:
    assert as_somebody_else(*words, closed=closed) == 73
    error = capsys.readouterr().err
    assert said in error
    assert ".partial" not in error
    assert "Check its owner and permissions" in error


def test_a_subject_that_cannot_be_written_does_not_stop_the_reports_of_others(
    as_somebody_else: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert as_somebody_else("--reports-only", closed="out/sub-0000/ses-1/anat") == 1
    told = capsys.readouterr().out
    assert "sub-0000 is left out: Files of sub-0000 cannot be written (Permission denied)." in told
    assert "sub-0001.html" in told


def test_a_participant_without_results_selects_nothing(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    assert app() == 0
    assert app("--participant-label", "01", "77", level="group") == 18
    assert app("--participant-label", "77", "--reports-only") == 18
    assert capsys.readouterr().err.count("has no participant 77") == 2


def test_a_participant_that_was_skipped_is_a_warning(
    app: App, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (dataset / "sub-03/func").mkdir(parents=True)
    assert app() == 0
    assert app("--participant-label", "01", "03", level="group") == 0
    assert "has no results of sub-03." in capsys.readouterr().out
    assert app("--participant-label", "03", "--reports-only") == 18
