"""Removal of partial files left by killed runs; the caller holds the locks of the output."""

import shutil
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from haca3_bids.bids.atomic import locked
from haca3_bids.bids.discover import Session
from haca3_bids.bids.names import page_of
from haca3_bids.errors import TemporaryFailure
from haca3_bids.partial import PREFIX, real_path


def partial_folder(output_dir: Path, session: Session) -> Path:
    """The folder in which the files of a session are staged before they are moved to the dataset."""
    return output_dir / f"{PREFIX}{session.name}"


def remove_partial_sessions(output_dir: Path, sessions: Collection[Session]) -> None:
    """Remove partial files of sessions, which must be locked, and of the pages of their subjects."""
    for session in sessions:
        shutil.rmtree(partial_folder(output_dir, session), ignore_errors=True)
        remove_partial_files(output_dir / session.folder)
    pages = {page_of(session.subject) for session in sessions}
    for path in output_dir.glob(f"{PREFIX}*.html"):
        page = real_path(path).name
        if page in pages:
            with suppress(TemporaryFailure), locked(output_dir, page, patience_s=0):  # else it is being written
                path.unlink(missing_ok=True)


def remove_partial_files(folder: Path, names: Iterable[str] | None = None) -> None:
    """Remove partial files in a folder, by default of all names; the caller holds the lock."""
    for path in folder.glob(f"{PREFIX}*"):
        if path.is_file() and (names is None or real_path(path).name in names):
            path.unlink(missing_ok=True)
