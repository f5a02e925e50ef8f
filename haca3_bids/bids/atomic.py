"""Atomic writing of small files, and locks between processes."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from haca3_bids.errors import CannotCreate, TemporaryFailure
from haca3_bids.partial import partial_file
from haca3_bids.records.files import to_readable_json

LOCK_PATIENCE_S = 60.0  # for the dataset's own small files, which are held for moments only
LOCK_MODE = 0o644  # and the group's right to write where the folder gives it
SHORTEST_POLL_S, LONGEST_POLL_S = 0.05, 2.0  # between two looks at a lock that is held: rarely where it takes long


def write_text(path: Path, text: str) -> None:
    """Write a text file that other processes see whole or not at all."""
    with partial_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_copy(source: Path, path: Path) -> None:
    """Copy a file so that other processes see it whole or not at all; its folder is made if need be."""
    make_folder(path.parent)
    with partial_file(path) as partial:
        shutil.copyfile(source, partial)


def write_json(path: Path, content: object) -> None:
    """Write records or plain values as JSON that people can read, whole or not at all."""
    write_text(path, to_readable_json(content))


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None when there is no file or it holds no object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def make_folder(path: Path) -> Path:
    """The folder, made if need be; CannotCreate says why it cannot be.

    What the group may write in the folder above, it may write in a new one, whatever the umask: several people can
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
        with suppress(PermissionError):  # somebody else made it just now
            path.chmod(stat.S_IMODE(new.st_mode) | stat.S_IRWXG)


@contextmanager
def locked(output_dir: Path, what: str, patience_s: float = LOCK_PATIENCE_S) -> Iterator[None]:
    """Hold the lock ``what`` of a derivatives dataset; TemporaryFailure when another process keeps it."""
    from filelock import FileLock, Timeout

    folder = make_folder(output_dir / "logs" / "locks")
    path = folder / f"{what}.lock"
    lock = FileLock(path, mode=LOCK_MODE | folder.stat().st_mode & stat.S_IWGRP)
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
    try:
        yield
    finally:
        lock.release()


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except (KeyError, OSError):
        return "unknown"
