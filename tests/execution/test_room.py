"""Free space is checked before a run and before each session; what a full disk leaves undone at the end is told."""

import errno
import json
from types import SimpleNamespace

import pytest
from filelock import FileLock

from haca3_bids.bids.atomic import write_text

ROOM = "haca3_bids.execution.room"
FREE_MB = 100


@pytest.fixture
def small_disk(fakes, monkeypatch):
    """A disk with 100 MB of free space."""
    usage = SimpleNamespace(free=FREE_MB * 1e6, total=1e9)
    monkeypatch.setattr(f"{ROOM}.shutil", SimpleNamespace(disk_usage=lambda _: usage))
    return usage


def test_a_session_that_cannot_fit_fails_before_it_begins(app, out, small_disk, monkeypatch, capsys, record):
    monkeypatch.setattr(f"{ROOM}.IMAGE_MB", 60.0)  # four images of sub-01 need 120 MB at least, two of sub-02 60 MB
    assert app() == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "has 100 MB of free space, and the session needs at least 120 MB." in said
    assert "has 100 MB of free space, and 2 sessions need about 360 MB" in said
    assert [record(name)["status"] for name in ("sub-01", "sub-02")] == ["failed", "done"]


def test_where_no_session_fits_the_exit_code_is_that_of_a_full_disk(app, small_disk, monkeypatch):
    monkeypatch.setattr(f"{ROOM}.SCRATCH_MB", 300.0)
    assert app() == 74


def test_space_that_may_suffice_is_only_warned_of_and_finished_sessions_need_none(app, small_disk, monkeypatch, capsys):
    monkeypatch.setattr(f"{ROOM}.IMAGE_MB", 30.0)
    assert app() == 0
    assert "need about" in capsys.readouterr().out
    assert app() == 0
    assert "need about" not in capsys.readouterr().out


def test_a_file_system_that_does_not_know_its_size_is_not_full(app, small_disk, monkeypatch, capsys):
    monkeypatch.setattr(f"{ROOM}.IMAGE_MB", 300.0)
    small_disk.free = small_disk.total = 0
    assert app() == 0
    assert "of free space" not in capsys.readouterr().out


def test_a_page_that_cannot_be_written_fails_its_sessions_and_no_other(app, out, monkeypatch, capsys):
    def full(path, text):
        if path.name == "sub-01.html":
            raise OSError(errno.EDQUOT, "Disk quota exceeded", str(path))
        write_text(path, text)

    with monkeypatch.context() as patched:
        patched.setattr("haca3_bids.reports.subject.write_text", full)
        assert app() == 1
    said = capsys.readouterr().out
    assert "1 done, 0 skipped, 1 failed" in said
    assert "failed   sub-01, while writing its page" in said
    assert (out / "sub-02.html").is_file()
    (about,) = out.glob("logs/*/run.json")
    assert json.loads(about.read_text())["exit_code"] == 1
    assert app() == 0
    assert "2 skipped" in capsys.readouterr().out
    assert (out / "sub-01.html").is_file()


def test_a_verdict_that_finds_no_room_is_no_bad_input(app, monkeypatch, capsys):
    assert app() == 0

    def write_json(path, content):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("haca3_bids.execution.earlier.write_json", write_json)
    assert app("--qc-thresholds", "csf_floor=0.001:0.002") == 74
    assert "cause: Reading or writing sub-01_desc-haca3_qc.json failed (No space" in capsys.readouterr().out


def test_a_lock_that_finds_no_room_fails_its_session_and_no_other(app, monkeypatch, capsys):
    def acquire(self, **how):
        if self.lock_file.endswith("sub-01.lock"):
            raise OSError(errno.EDQUOT, "Disk quota exceeded", self.lock_file)
        return real(self, **how)

    real = FileLock.acquire
    monkeypatch.setattr(FileLock, "acquire", acquire)
    assert app() == 1
    said = capsys.readouterr().out
    assert "failed   sub-01, while locking it" in said
    assert "cause: The lock logs/locks/sub-01.lock of out cannot be created (Disk quota exceeded)." in said
    assert "1 done, 0 skipped, 1 failed" in said


def test_the_end_of_a_run_is_told_even_if_it_cannot_be_recorded(app, monkeypatch, capsys):
    def full(path, text):
        if path.name == "run.json" and "sub-02" in text:
            raise OSError(errno.EDQUOT, "Disk quota exceeded", str(path))
        write_text(path, text)

    monkeypatch.setattr("haca3_bids.execution.ending.write_text", full)
    assert app() == 0
    said = capsys.readouterr().out
    assert "run.json, cannot be written: [Errno 122] Disk quota exceeded" in said
    assert "2 done, 0 skipped, 0 failed" in said
