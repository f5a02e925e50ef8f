"""The scratch folder of a run, private to one user and one output.

Nipype unpickles files in it, so nobody else may write to it. Runs on the same output share it, so that a restarted run
finds finished steps: the lock of a session or target in the output also protects its part of the scratch folder.
"""

import fcntl
import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from haca3_bids import __version__
from haca3_bids.bids.atomic import lock_folder, locked, write_text
from haca3_bids.digest import short_digest
from haca3_bids.private import empty, private_folder, temporary_folder
from haca3_bids.settings import Settings

LOGGER = logging.getLogger("haca3_bids")
IN_USE = ".in-use"  # locked by every run that uses the folder


@contextmanager
def scratch_folder(settings: Settings) -> Iterator[Path]:
    """The scratch folder, in use within the block; ``--clean-workdir`` empties it if no other run uses it."""
    folder = private_folder(scratch_path(settings))
    with (folder / IN_USE).open("a") as file:
        if settings.execution.clean_workdir and not _emptied(folder, file.fileno()):
            LOGGER.warning("Another run also uses %s; only the files of this run's sessions are removed.", folder)
        _lock(file.fileno(), fcntl.LOCK_SH)
        try:
            yield folder
        finally:
            _lock(file.fileno(), fcntl.LOCK_UN)


def scratch_path(settings: Settings) -> Path:
    """In ``--work-dir`` or the system's temporary folder; one per version, user and output."""
    chosen = settings.execution.work_dir or temporary_folder()
    return chosen / f"haca3_bids-{__version__}-{os.getuid()}-{output_key(settings.output_dir)}"


def output_key(output_dir: Path) -> str:
    """A key that identifies an output: in containers, different outputs can have the same path, and one output several.

    It is derived from random digits that are stored in the output, and from its inode, which a copy does not share.
    """
    folder = lock_folder(output_dir)
    path = folder / "output.id"
    with locked(output_dir, "dataset"):
        if not path.exists():
            write_text(path, secrets.token_hex(16) + "\n")
    text = f"{path.read_text().strip()} {output_dir.stat().st_ino}"
    return short_digest(text)


def _emptied(folder: Path, lock: int) -> bool:
    """Empty the folder, unless another run uses it; whether it was emptied."""
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
