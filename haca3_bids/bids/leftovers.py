"""What a killed run left half-written in an output; it is removed by the next one, which holds the locks."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from haca3_bids.bids.discover import Session
from haca3_bids.partial import PREFIX


def partial_folder(output_dir: Path, session: Session) -> Path:
    """Where the files of a session are gathered before they are moved into the dataset."""
    return output_dir / f"{PREFIX}{session.name}"


def remove_partial_sessions(output_dir: Path, sessions: Iterable[Session]) -> None:
    """Remove what is half-written of sessions whose subjects are locked, and of the pages of these."""
    folders = {output_dir / session.folder for session in sessions}
    pages = {f"sub-{session.subject}.html" for session in sessions}
    for session in sessions:
        shutil.rmtree(partial_folder(output_dir, session), ignore_errors=True)
    remove_partial_files(output_dir, pages)
    for folder in folders:
        remove_partial_files(folder)


def remove_partial_files(folder: Path, names: Iterable[str] | None = None) -> None:
    """Remove the half-written files in a folder, of the given names only; a lock keeps others from writing them."""
    for path in folder.glob(f"{PREFIX}*"):
        if path.is_file() and (names is None or path.name.removeprefix(PREFIX).partition("-")[2] in names):
            path.unlink(missing_ok=True)
