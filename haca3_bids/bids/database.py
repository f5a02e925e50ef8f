"""The pybids database of a dataset, for other tools: created if it is missing or outdated.

The App does not read it but searches the folders themselves, so that an outdated database hides no image.
"""

import logging
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from haca3_bids.bids.listing import anatomical_files, session_places
from haca3_bids.bids.names import IMAGE_EXTENSIONS
from haca3_bids.errors import BadInput

LOGGER = logging.getLogger("haca3_bids")
FILE = "layout_index.sqlite"  # name defined by pybids
NOT_INDEXED = (re.compile(r"/\."), re.compile(r"^/(derivatives|sourcedata|code|models|stimuli)(/|$)"))


def keep_database(bids_dir: Path, folder: Path) -> None:
    """Create or update the database of a dataset in a folder; log a warning if that fails."""
    if (folder / FILE).exists():
        listed = _listed(bids_dir, folder)
        if listed is not None and listed == set(_on_disk(bids_dir)):
            return
        LOGGER.warning(
            "The database in %s does not match the current state of %s; it is created again.",
            folder.name,
            bids_dir.name,
        )
    try:
        _make(bids_dir, folder)
    except Exception as error:  # pybids and SQLite raise various errors; outputs do not depend on them
        words = " ".join(f"{type(error).__name__}: {error}".split()).replace(f"{bids_dir}/", "")
        LOGGER.warning("The pybids database cannot be created (%s); the run continues without it.", words)


def _make(bids_dir: Path, folder: Path) -> None:
    from bids.layout import BIDSLayout, BIDSLayoutIndexer

    folder.mkdir(parents=True, exist_ok=True)
    indexer = BIDSLayoutIndexer(validate=False, index_metadata=True, ignore=list(NOT_INDEXED))
    with tempfile.TemporaryDirectory(dir=folder) as partial:
        BIDSLayout(bids_dir, validate=False, database_path=partial, indexer=indexer)
        os.replace(Path(partial, FILE), folder / FILE)


def _listed(bids_dir: Path, folder: Path) -> set[str] | None:
    """The anatomical images in a database; None if it is unreadable or of another dataset."""
    from bids.layout import BIDSLayout

    try:
        layout = BIDSLayout(database_path=folder, validate=False)
        if Path(layout.root).resolve() != bids_dir.resolve():
            return None
        found = layout.get(datatype="anat", extension=list(IMAGE_EXTENSIONS), return_type="filename")
        return {os.path.relpath(path, layout.root) for path in found}
    except Exception:  # any error: not a database of this dataset
        return None


def _on_disk(bids_dir: Path) -> Iterator[str]:
    for subject in bids_dir.glob("sub-*"):
        try:
            for place in session_places(subject).values():
                found = (path for path in anatomical_files(place, bids_dir) if path.name.endswith(IMAGE_EXTENSIONS))
                yield from (str(path.relative_to(bids_dir)) for path in found)
        except (OSError, BadInput):
            continue
