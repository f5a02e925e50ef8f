"""One output that several people, hosts and containers write to."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_parts import make_dataset
from other_user import somebody_else

from haca3_bids.bids.atomic import locked, make_folder, write_json
from haca3_bids.bids.discover import Session
from haca3_bids.cli.app import main
from haca3_bids.errors import BadInput, CannotCreate, TemporaryFailure, UsageError
from haca3_bids.execution.environment import check_current_folder
from haca3_bids.execution.lock import in_rounds, parts_of, sessions_at_once
from haca3_bids.execution.outcome import DONE, FAILED, Outcome
from haca3_bids.execution.select import select_sessions
from haca3_bids.partial import partial_file
from haca3_bids.settings import Settings

App = Callable[..., int]
Record = Callable[[str], dict[str, Any]]


def test_names_of_partial_files_do_not_repeat_where_process_ids_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 1)
    path = tmp_path / "x.json"
    with partial_file(path) as one, partial_file(path) as other:
        assert one != other
        one.write_text("1")
        other.write_text("2")
    assert [found.name for found in tmp_path.iterdir()] == ["x.json"]
    write_json(path, {"a": 1})
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~current_umask()


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_half(path: Path) -> None:
    with partial_file(path) as partial:
        partial.write_text("half")
        raise ZeroDivisionError


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("before")
    with pytest.raises(ZeroDivisionError):
        write_half(path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_what_the_group_may_write_above_it_may_write_in_new_folders_and_locks(tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        tmp_path.chmod(0o2775)
        with locked(tmp_path / "out", "sub-01"):
            pass
        (tmp_path / "own").mkdir(mode=0o755)
        make_folder(tmp_path / "own" / "inner")
    finally:
        os.umask(mask)
    assert (tmp_path / "out/logs/locks").stat().st_mode & stat.S_IWGRP
    assert (tmp_path / "out/logs/locks/sub-01.lock").stat().st_mode & stat.S_IWGRP
    assert not (tmp_path / "own/inner").stat().st_mode & stat.S_IWGRP


def test_a_lock_that_cannot_be_opened_is_told_with_its_owner(place: Path) -> None:
    with locked(place, "sub-01"):
        pass
    (place / "logs/locks/sub-01.lock").chmod(0o400)
    (place / "logs/locks").chmod(0o777)
    with (
        somebody_else(),
        pytest.raises(CannotCreate, match=r"sub-01\.lock .* cannot be opened"),
        locked(place, "sub-01"),
    ):
        pass


def test_an_output_that_is_kept_with_git_annex_can_be_processed_again(
    app: App, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It replaces all files that git does not ignore by links to read-only ones, and so would lock everybody out."""
    assert app() == 0
    ignored = [path for path in out.rglob("*") if (path.parent / ".gitignore").exists()]
    assert {path.parent for path in ignored} == {out / "logs/locks"}
    for path in [one for one in out.rglob("*") if one.is_file() and one not in ignored]:
        kept = tmp_path / "annex" / path.relative_to(out)
        kept.parent.mkdir(parents=True, exist_ok=True)
        path.rename(kept)
        kept.chmod(0o444)
        path.symlink_to(kept)
    assert app() == 0
    assert "0 done, 2 skipped" in capsys.readouterr().out
    assert app("--reprocess") == 0
    assert not any(path.is_symlink() for path in out.rglob("*.nii.gz"))
    lock = out / "logs/locks/sub-01.lock"
    lock.unlink()
    lock.symlink_to(tmp_path / "annex/lock")
    assert app("--participant-label", "01") == 73
    assert "The lock logs/locks/sub-01.lock of out is a symbolic link." in capsys.readouterr().out


def test_a_current_folder_that_is_closed_or_gone_is_a_usage_error(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("closed", "gone"):
        (place / name).mkdir()
        monkeypatch.chdir(place / name)
        (place / name).chmod(0o000) if name == "closed" else (place / name).rmdir()
        with somebody_else():
            with pytest.raises(UsageError, match=r"The current folder.* cannot be"):
                check_current_folder()
            assert main([str(place / "raw"), str(place / "out"), "participant"]) == 64
        assert "The current folder" in capsys.readouterr().err
    monkeypatch.chdir(place)


def test_a_closed_subject_fails_by_itself_and_a_closed_dataset_has_a_sentence(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bids = make_dataset(place / "raw", {"sub-01": ("T1w",), "sub-02": ("T1w",), "sub-03": ("T1w",)})
    dry = [str(bids), str(place / "out"), "participant", "--dry-run", "--skip-bids-validation", "--template", "builtin"]
    assert main(dry) == 0  # which imports what it needs: nobody may not read where root keeps its libraries
    (bids / "sub-02").chmod(0o000)
    (bids / "sub-03/anat").chmod(0o000)
    with somebody_else():
        selection = select_sessions(Settings(bids, place / "out"))
    assert [session.name for session in selection.sessions] == ["sub-01"]
    assert [(one.name, type(one.error)) for one in selection.outcomes] == [("sub-02", BadInput), ("sub-03", BadInput)]
    assert all("cannot be read (Permission denied)" in str(one.error) for one in selection.outcomes)
    (bids / "dataset_description.json").chmod(0o000)
    with somebody_else():
        assert main(dry) == 65
    assert "No permission" in capsys.readouterr().err


def sessions(labels: str) -> list[Session]:
    return [Session(label, None, {}) for label in labels]


def done(some: list[Session]) -> list[Outcome]:
    return [Outcome(session.name, DONE) for session in some]


def is_locked(out: Path, label: str) -> bool:
    try:
        with locked(out, f"sub-{label}", patience_s=0):
            return False
    except TemporaryFailure:
        return True


def test_only_what_is_worked_on_is_locked(tmp_path: Path) -> None:
    seen = []

    def work(some: list[Session]) -> list[Outcome]:
        seen.append({label for label in "abcde" if is_locked(tmp_path, label)})
        return done(some)

    outcomes = in_rounds(tmp_path, parts_of(sessions("abcde")), 2, work)
    assert seen == [{"a", "b"}, {"c", "d"}, {"e"}]
    assert len(outcomes) == 5


def test_sessions_that_share_a_frame_are_processed_together_by_one_run(tmp_path: Path) -> None:
    visits = [Session(label, visit, {}) for label in "ab" for visit in "12"]
    rounds: list[list[str]] = []

    def work(some: list[Session]) -> list[Outcome]:
        rounds.append([one.name for one in some])
        return done(some)

    in_rounds(tmp_path, parts_of(visits, {"b"}), 1, work)
    assert rounds == [["sub-a_ses-1"], ["sub-a_ses-2"], ["sub-b_ses-1", "sub-b_ses-2"]]
    with locked(tmp_path, "sub-b_ses-2"):
        outcomes = in_rounds(tmp_path, parts_of(visits, {"b"}), 4, work)
    assert [one.status for one in outcomes] == [DONE, DONE, FAILED, FAILED]
    with locked(tmp_path, "frame-sub-b"):  # by a run on other visits
        outcomes = in_rounds(tmp_path, parts_of(visits, {"b"}), 4, work)
    assert [one.status for one in outcomes] == [DONE, DONE, FAILED, FAILED]


def test_what_another_run_holds_is_tried_again_at_the_end(tmp_path: Path) -> None:
    with locked(tmp_path, "sub-c"):
        released = locked(tmp_path, "sub-a")
        released.__enter__()
        order = []

        def work(some: list[Session]) -> list[Outcome]:
            if not order:
                released.__exit__(None, None, None)
            order.extend(one.subject for one in some)
            return done(some)

        outcomes = {one.name: one for one in in_rounds(tmp_path, parts_of(sessions("abc")), 1, work)}
    assert order == ["b", "a"]
    assert outcomes["sub-c"].status == FAILED
    assert isinstance(outcomes["sub-c"].error, TemporaryFailure)
    assert outcomes["sub-a"].status == DONE


def test_a_round_is_larger_than_the_processes_and_smaller_than_the_limit_of_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (1024, 4096))
    assert sessions_at_once(2) == 16
    assert sessions_at_once(500) == sessions_at_once(None) == 256
    monkeypatch.setattr("resource.getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert sessions_at_once(2) == 16


def test_rounds_change_nothing_but_the_locks(
    app: App, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("haca3_bids.execution.lock.SESSIONS_A_PROCESS", 1)
    assert app("--nprocs", "1", "--write-graph") == 0
    assert "2 done, 0 skipped, 0 failed" in capsys.readouterr().out
    assert len(list(out.glob("logs/*/haca3_wf*.dot"))) == 2


def test_after_the_first_crash_no_further_round_begins(
    app: App, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("haca3_bids.execution.lock.SESSIONS_A_PROCESS", 1)
    monkeypatch.setenv("FAKE_ENGINE", "refuses")
    assert app("--nprocs", "1", "--stop-on-first-crash") == 1
    said = capsys.readouterr().out
    assert "cause: No source shows anything of a head." in said
    assert "cause: The run stopped before this session was finished." in said


def test_a_record_is_there_while_its_session_is_replaced(
    app: App, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    from haca3_bids.bids import derivatives

    assert app("--participant-label", "01") == 0
    real = derivatives._move

    def watched(source: Path, target: Path) -> None:
        assert (target.parent.parent / "anat/sub-01_desc-haca3_qc.json").exists()
        assert record("sub-01")["status"] == ("failed" if target.parent.name == "anat" else "done")
        real(source, target)

    monkeypatch.setattr(derivatives, "_move", watched)
    assert app("--participant-label", "01", "--reprocess") == 0
    assert record("sub-01")["status"] == "done"


def test_a_session_whose_replacement_was_broken_off_is_not_finished(
    app: App, record: Record, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from haca3_bids.bids import derivatives

    assert app("--participant-label", "02") == 0

    def broken(source: Path, target: Path) -> None:
        if target.parent.name == "anat":
            raise PermissionError(13, "Permission denied", str(target))

    with monkeypatch.context() as patched:
        patched.setattr(derivatives, "_move", broken)
        assert app("--participant-label", "02", "--reprocess") == 73
    assert record("sub-02")["status"] == "failed"
    assert app("--participant-label", "02") == 0
    assert "1 done, 0 skipped, 0 failed" in capsys.readouterr().out


def test_what_a_killed_process_left_half_written_is_no_record(app: App, out: Path) -> None:
    assert app("--participant-label", "02") == 0
    (out / "sub-02/anat/.partial-00-sub-02_desc-haca3_qc.json").write_text('{"half')
    assert app(level="group") == 0
    assert app("--reports-only") == 0
    assert "sub-02" in (out / "group_qc.tsv").read_text()
