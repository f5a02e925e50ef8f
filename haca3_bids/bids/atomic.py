"""Writing small files whole or not at all, and locks between processes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from haca3_bids.bids.lenient import finite
from haca3_bids.errors import CannotCreate, TemporaryFailure

LOCK_PATIENCE_S = 60.0  # for the dataset's own small files, which are held for moments only


def write_text(path: Path, text: str) -> None:
    """Write a text file that other processes see whole or not at all."""
    partial = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_copy(source: Path, path: Path) -> None:
    """Copy a file so that other processes see it whole or not at all; its folder is made if need be."""
    partial = make_folder(path.parent) / f".{os.getpid()}-{path.name}"
    try:
        shutil.copyfile(source, partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write JSON that people can read, whole or not at all; null stands for a number that is not finite."""
    write_text(path, json.dumps(finite(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None when there is no file or it holds no object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def make_folder(path: Path) -> Path:
    """The folder, made if need be; CannotCreate says why it cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotCreate(f"The folder {path} cannot be created ({error.strerror}).") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise CannotCreate(f"The folder {path} cannot be written to.", "Check its owner and permissions.")
    return path


@contextmanager
def locked(output_dir: Path, what: str, patience_s: float = LOCK_PATIENCE_S) -> Iterator[None]:
    """Hold the lock ``what`` of a derivatives dataset; TemporaryFailure when another process keeps it."""
    from filelock import FileLock, Timeout

    lock = FileLock(make_folder(output_dir / "logs" / "locks") / f"{what}.lock")
    try:
        lock.acquire(timeout=patience_s)
    except Timeout:
        raise TemporaryFailure(
            f"Another process is working on {what} in {output_dir.name}.", "Wait until it is done, then try again."
        ) from None
    try:
        yield
    finally:
        lock.release()
