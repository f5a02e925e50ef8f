"""Atomic writing: other processes see a file only when it is complete."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = ".partial-"  # of names of what is not complete
RANDOM_BYTES = 8  # process ids repeat across hosts and containers that share a folder


@contextmanager
def partial_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to ``path``. If the block succeeds, its file replaces ``path``; else it is deleted.

    The caller creates the file, so that it has the permissions of the folder and the umask. A file of ``tempfile``
    would be readable by its owner only.
    """
    partial = path.with_name(f"{PREFIX}{secrets.token_hex(RANDOM_BYTES)}-{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def real_path(path: Path) -> Path:
    """The path of the file that a partial file is to replace; any other path as it is."""
    if not path.name.startswith(PREFIX):
        return path
    return path.with_name(path.name.removeprefix(PREFIX).partition("-")[2] or path.name)
