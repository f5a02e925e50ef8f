"""What ends a command early is a sentence and an exit code."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from haca3_bids.cli.command import CLOSED_PIPE, exit_code_of


def ended(error: BaseException) -> int:
    def run() -> int:
        raise error

    return exit_code_of("haca3", run)


def test_an_interruption_has_the_code_of_a_shell(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "\nhaca3: interrupted.\n"


def test_a_full_disk_and_a_missing_permission_are_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a/b.nii")) == 74
    assert "Reading or writing b.nii failed" in capsys.readouterr().err
    assert ended(PermissionError(errno.EACCES, os.strerror(errno.EACCES), "b.nii")) == 65
    assert "No permission to read or write b.nii" in capsys.readouterr().err


def test_a_file_in_the_place_of_a_folder_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    for number in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG):
        assert ended(OSError(number, os.strerror(number), "a/b.nii")) == 73
        assert f"a/b.nii cannot be read or created ({os.strerror(number)})." in capsys.readouterr().err


def test_an_unexpected_error_is_not_hidden() -> None:
    with pytest.raises(FileNotFoundError):
        ended(FileNotFoundError(errno.ENOENT, "gone", "b.nii"))
    with pytest.raises(BrokenPipeError):  # of another pipe: standard output is still read
        ended(BrokenPipeError(errno.EPIPE, "broken"))


def test_nobody_is_told_when_nobody_reads() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    code = (
        "from haca3_bids.cli.command import exit_code_of; import sys; "
        "sys.exit(exit_code_of('haca3', lambda: print('x' * 10) or 0))"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (CLOSED_PIPE, b"")
