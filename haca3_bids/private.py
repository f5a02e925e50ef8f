"""Folders that only their owner can write to, because their content is trusted and partly unpickled."""

import os
import shutil
import stat
import tempfile
from pathlib import Path

from haca3_bids.errors import CannotCreate

PRIVATE = 0o700
OTHERS = 0o077


def temporary_folder() -> Path:
    """The system's folder for temporary files; CannotCreate if none is writable, or all are full."""
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise CannotCreate(
            "No folder for temporary files is writable, or their disk is full (TMPDIR, /tmp, /var/tmp).",
            "Set TMPDIR to a folder of your own with free space; in a container, mount one at /tmp.",
        ) from error


def private_folder(path: Path) -> Path:
    """The folder, made for its owner alone if need be; CannotCreate where it is a link or somebody else's.

    A folder that was open to others is closed and emptied, for they may have put something into it. File systems
    without permissions are taken as they are.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        made = _make(path)
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode):
            raise CannotCreate(
                f"{path} is a file or a symbolic link; a folder is required.", "Remove it, or name another folder."
            )
        if found.st_uid != _own_id_in(path.parent):
            raise CannotCreate(
                f"The folder {path} belongs to somebody else (user id {found.st_uid}).",
                "Set --work-dir or TMPDIR to a folder of your own.",
            )
        if not made and found.st_mode & OTHERS:
            _close(path)
    except OSError as error:
        raise CannotCreate(
            f"The folder {path} cannot be created or used ({error.strerror}).", "Check its owner and permissions."
        ) from error
    return path


def empty(folder: Path, but: str = "") -> None:
    """Remove everything in a folder except the file named ``but``."""
    for one in folder.iterdir():
        if one.is_dir() and not one.is_symlink():
            shutil.rmtree(one, ignore_errors=True)
        elif one.name != but:
            one.unlink(missing_ok=True)


def _make(path: Path) -> bool:
    try:
        path.mkdir(mode=PRIVATE)
    except FileExistsError:
        return False
    return True


def _own_id_in(folder: Path) -> int:
    """The user id that the file system gives to this process: some map root to nobody."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_uid
    except OSError:
        return os.getuid()


def _close(path: Path) -> None:
    could_write = path.lstat().st_mode & OTHERS & 0o022
    path.chmod(PRIVATE)
    if could_write and not path.lstat().st_mode & OTHERS:
        empty(path)
