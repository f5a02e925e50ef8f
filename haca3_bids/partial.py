"""Atomic writing: other processes see a file only when it is complete."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = ".partial-"  # of names of what is not complete
RANDOM_BYTES = 8  # process ids repeat across hosts and containers that share a folder


@contextmanager
def partial_file(path: Path) -> Iterator[Path]:
    """A name beside ``path`` to write to: where the block ends well the file takes the place of ``path``, else it goes.

    The file is made by whoever writes it, so that it has the permissions which the folder and the umask give;
    ``tempfile`` would let nobody else read it.
    """
    partial = path.with_name(f"{PREFIX}{secrets.token_hex(RANDOM_BYTES)}-{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
