"""The scratch folder of a run: its owner's alone, and of one output, whose locks say who may use which part of it.

Nipype unpickles what it finds there, so that nobody else may write to it. Runs on the same output share it, so that a
run that is started again finds the steps that are done: the part of a session is used by whoever holds the lock of its
subject, that of a target by whoever holds the target's.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from haca3_bids import __version__
from haca3_bids.bids.atomic import locked, make_folder, write_text
from haca3_bids.private import empty, private_folder
from haca3_bids.settings import Settings

LOGGER = logging.getLogger("haca3_bids")
IN_USE = ".in-use"  # locked by every run that uses the folder


@contextmanager
def scratch_folder(settings: Settings) -> Iterator[Path]:
    """The scratch folder, for as long as the block runs; ``--clean-workdir`` empties it if no other run uses it."""
    folder = private_folder(scratch_path(settings))
    with (folder / IN_USE).open("a") as file:
        if settings.execution.clean_workdir and not _emptied(folder, file.fileno()):
            LOGGER.warning("Another run uses %s too; emptied is what belongs to the sessions of this one.", folder)
        _lock(file.fileno(), fcntl.LOCK_SH)
        try:
            yield folder
        finally:
            _lock(file.fileno(), fcntl.LOCK_UN)


def scratch_path(settings: Settings) -> Path:
    """In ``--work-dir``, else in the system's temporary folder: one a version, a user and an output."""
    chosen = settings.execution.work_dir or Path(tempfile.gettempdir())
    return chosen / f"haca3_bids-{__version__}-{os.getuid()}-{output_key(settings.output_dir)}"


def output_key(output_dir: Path) -> str:
    """Letters that name an output: in containers many outputs have one path, and one output may have many.

    They are made from a word that the output keeps, and from its place on the disk, which a copy does not share.
    """
    folder = make_folder(output_dir / "logs" / "locks")
    path = folder / "output.id"
    with locked(output_dir, "dataset"):
        if not path.exists():
            write_text(path, secrets.token_hex(16) + "\n")
    text = f"{path.read_text().strip()} {output_dir.stat().st_ino}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _emptied(folder: Path, lock: int) -> bool:
    """Whether nobody else used the folder, and it is empty now."""
    if not _lock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB):
        return False
    empty(folder, but=IN_USE)
    return True


def _lock(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind)
    except OSError as error:  # held by another run, or a file system without locks
        LOGGER.debug("The scratch folder's lock: %s", error)
        return False
    return True
