"""The scratch folder: its owner's alone, one an output, and never emptied under another run."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from haca3_bids.bids.atomic import locked, make_folder
from haca3_bids.errors import CannotCreate
from haca3_bids.execution.scratch import output_key, scratch_folder, scratch_path
from haca3_bids.private import private_folder
from haca3_bids.settings import ExecutionSettings, Settings

App = Callable[..., int]


def settings(tmp_path: Path, out: str = "out", work: str | None = "work", *, clean: bool = False) -> Settings:
    make_folder(tmp_path / out)
    execution = ExecutionSettings(work_dir=None if work is None else tmp_path / work, clean_workdir=clean)
    return Settings(tmp_path / "bids", tmp_path / out, execution=execution)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_scratch_folder_is_private_and_holds_version_and_user(tmp_path: Path) -> None:
    with scratch_folder(settings(tmp_path)) as folder:
        assert mode(folder) == 0o700
        assert folder.parent == tmp_path / "work"
        assert folder.name.startswith("haca3_bids-")
        assert f"-{os.getuid()}-" in folder.name


def test_without_a_work_dir_it_lies_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    assert scratch_path(settings(tmp_path, work=None)).parent == tmp_path / "tmp"


def test_two_outputs_never_share_a_folder_even_under_one_path(tmp_path: Path) -> None:
    first = output_key(make_folder(tmp_path / "out"))
    assert output_key(tmp_path / "out") == first
    (tmp_path / "link").symlink_to(tmp_path / "out")
    assert output_key(tmp_path / "link") == first
    (tmp_path / "out").rename(tmp_path / "moved")
    assert output_key(tmp_path / "moved") == first
    assert output_key(make_folder(tmp_path / "out")) != first  # as /out of another container


def test_what_somebody_else_made_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private_folder(tmp_path / "mine")
    monkeypatch.setattr("haca3_bids.private._own_id_in", lambda _: os.getuid() + 1)
    with pytest.raises(CannotCreate, match="belongs to somebody else"):
        private_folder(tmp_path / "mine")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CannotCreate, match="link"):
        private_folder(tmp_path / "link")


def test_a_folder_that_others_could_write_to_is_closed_and_emptied(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "planted.pklz").write_text("x")
    private_folder(folder)
    assert mode(folder) == 0o700
    assert list(folder.iterdir()) == []


def test_a_folder_that_others_could_only_read_keeps_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "readable"
    folder.mkdir(mode=0o755)
    (folder / "own").write_text("x")
    private_folder(folder)
    assert mode(folder) == 0o700
    assert (folder / "own").exists()


def test_a_folder_that_another_run_uses_is_not_emptied(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with scratch_folder(settings(tmp_path)) as folder:
        (folder / "theirs").write_text("x")
        with scratch_folder(settings(tmp_path, clean=True)):
            assert (folder / "theirs").exists()
    assert "Another run also uses" in caplog.text
    with scratch_folder(settings(tmp_path, clean=True)):
        assert not (folder / "theirs").exists()


def test_the_scratch_of_a_session_is_emptied_though_another_run_uses_the_folder(app: App, tmp_path: Path) -> None:
    words = ("--participant-label", "02", "--work-dir", str(tmp_path / "w"), "--keep-work", "--reprocess")
    assert app(*words) == 0
    (folder,) = (tmp_path / "w").iterdir()
    ours, theirs = folder / "haca3_wf/sub_02_wf/stale", folder / "haca3_wf/sub_01_wf/theirs"
    theirs.parent.mkdir()
    for path in (ours, theirs):
        path.write_text("x")
    with scratch_folder(settings(tmp_path, "out", "w")) as used:
        assert used == folder
        assert app(*words, "--clean-workdir") == 0
    assert not ours.exists()
    assert theirs.exists()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS])
def test_without_locks_there_is_one_warning_and_no_trace_of_a_killed_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    """ENOSYS is that of Lustre without flock, where filelock's own substitute would keep the lock of a killed job."""

    def flock(file: int, kind: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", flock)
    killed = tmp_path / "out/logs/locks/sub-01.lock"
    killed.parent.mkdir(parents=True)
    killed.write_text("1234\nanother-host\n")
    for _ in range(2):
        with locked(tmp_path / "out", "sub-01", patience_s=0):
            assert killed.read_text() == "1234\nanother-host\n"
    assert caplog.text.count("is on a file system without locks") == 1
