"""Removal of partial files left by killed runs; the caller holds the locks of the output."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from haca3_bids.bids.discover import Session
from haca3_bids.partial import PREFIX, real_path


def partial_folder(output_dir: Path, session: Session) -> Path:
    """The folder in which the files of a session are staged before they are moved to the dataset."""
    return output_dir / f"{PREFIX}{session.name}"


def remove_partial_sessions(output_dir: Path, sessions: Iterable[Session]) -> None:
    """Remove partial files of sessions, and of the pages of their subjects, which must be locked."""
    folders = {output_dir / session.folder for session in sessions}
    pages = {f"sub-{session.subject}.html" for session in sessions}
    for session in sessions:
        shutil.rmtree(partial_folder(output_dir, session), ignore_errors=True)
    remove_partial_files(output_dir, pages)
    for folder in folders:
        remove_partial_files(folder)


def remove_partial_files(folder: Path, names: Iterable[str] | None = None) -> None:
    """Remove partial files in a folder, by default of all names; the caller holds the lock."""
    for path in folder.glob(f"{PREFIX}*"):
        if path.is_file() and (names is None or real_path(path).name in names):
            path.unlink(missing_ok=True)
