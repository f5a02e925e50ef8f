"""Atomic writing of small files, and locks between processes."""

import errno
import json
import logging
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from haca3_bids.errors import DISK_ERRORS, CannotCreate, InputOutputFailure, TemporaryFailure
from haca3_bids.partial import partial_file
from haca3_bids.records.files import to_readable_json

LOGGER = logging.getLogger("haca3_bids")
WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # errors of file systems that have no locks
LOCK_PATIENCE_S = 600.0  # for the small files of the dataset: held briefly, but by each job of an array in turn
LOCK_MODE = 0o644  # and group write permission if the folder has it
SHORTEST_POLL_S, LONGEST_POLL_S = 0.05, 2.0  # between two attempts to acquire a lock


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with partial_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_copy(source: Path, path: Path) -> None:
    """Copy a file atomically; its folder is created if necessary."""
    make_folder(path.parent)
    with partial_file(path) as partial:
        shutil.copyfile(source, partial)


def write_json(path: Path, content: object) -> None:
    """Write records or plain values as indented JSON, atomically."""
    write_text(path, to_readable_json(content))


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None if there is no file or it has no object.

    Raises OSError if the file cannot be read: whoever updates it must not take it for a missing one.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def make_folder(path: Path) -> Path:
    """The folder, created if necessary; CannotCreate if it cannot be created or written to.

    A new folder inherits group write permission from its parent regardless of the umask, so that several people can
    work on one output.
    """
    try:
        _make(path)
    except OSError as error:
        raise CannotCreate(f"The folder {path} cannot be created ({error.strerror}).") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise CannotCreate(f"The folder {path} is not writable.", "Check its owner and permissions.")
    return path


def _make(path: Path) -> None:
    if path.is_dir():
        return
    _make(path.parent)
    path.mkdir(exist_ok=True)
    above, new = path.parent.stat(), path.stat()
    shared = above.st_mode & stat.S_IWGRP and not above.st_mode & stat.S_ISVTX and above.st_gid == new.st_gid
    if shared and not new.st_mode & stat.S_IWGRP:
        with suppress(PermissionError):  # created by another user in the meantime
            path.chmod(stat.S_IMODE(new.st_mode) | stat.S_IRWXG)


def lock_folder(output_dir: Path) -> Path:
    """The folder of the locks; git and DataLad ignore it, since they would replace the locks by read-only links."""
    folder = make_folder(output_dir / "logs" / "locks")
    if not (folder / ".gitignore").exists():
        write_text(folder / ".gitignore", "*\n")
    return folder


@contextmanager
def locked(output_dir: Path, what: str, patience_s: float = LOCK_PATIENCE_S) -> Iterator[None]:
    """Hold the lock ``what`` of a derivatives dataset; TemporaryFailure if another process does not release it.

    On a file system without locks, there is a warning, and nothing is locked.
    """
    from filelock import FileLock, Timeout

    folder = lock_folder(output_dir)
    path = folder / f"{what}.lock"
    mode = LOCK_MODE | folder.stat().st_mode & stat.S_IWGRP
    lock = FileLock(path, mode=mode, fallback_to_soft=False)  # a soft lock would outlive a killed job
    try:
        lock.acquire(timeout=patience_s, poll_interval=min(LONGEST_POLL_S, max(patience_s / 1000, SHORTEST_POLL_S)))
    except Timeout:
        raise TemporaryFailure(
            f"Another process is processing {what} in {output_dir.name}.", "Wait until it has finished, then try again."
        ) from None
    except PermissionError as error:
        raise CannotCreate(
            f"The lock logs/locks/{path.name} of {output_dir.name} cannot be opened ({error.strerror}).",
            f"Its owner is {_owner(path)}, who can make the output writable for the group: chmod -R g+w.",
        ) from error
    except OSError as error:
        if error.errno == errno.ELOOP:  # as git-annex makes them of files
            raise CannotCreate(
                f"The lock logs/locks/{path.name} of {output_dir.name} is a symbolic link.",
                "Remove the folder logs/locks when no run is using it.",
            ) from error
        if error.errno in DISK_ERRORS:
            sentence = f"The lock logs/locks/{path.name} of {output_dir.name} cannot be created ({error.strerror})."
            raise InputOutputFailure(sentence, "Is the disk full, or the quota used up?") from error
        if error.errno not in WITHOUT_LOCKS:
            raise
        _warn_of_no_locks(output_dir)
    try:
        yield
    finally:
        lock.release()


@cache
def _warn_of_no_locks(output_dir: Path) -> None:
    LOGGER.warning("%s is on a file system without locks: do not start two runs on it.", output_dir.name)


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except (KeyError, OSError):
        return "unknown"
