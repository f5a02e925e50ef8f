"""The table of sites (``--sites``): a TSV file with participant_id, site and, where sessions differ, session_id."""

import csv
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from haca3_bids.bids.names import some_of
from haca3_bids.errors import BadInput

NAMED = 5  # sessions in a message
LOG = logging.getLogger(__name__)
NOTHING = ("", "n/a")  # BIDS marks missing values of tables with n/a


def assign_sites(sessions: Sequence[str], path: Path) -> list[str]:
    """The site of each session, named ``dataset/sub-01_ses-1``; rows of a participant are for the other sessions.

    BadInput if a session has no row, or two datasets have a session of one name. Rows without a session are a warning.
    """
    table, names = _read(path), [session.rpartition("/")[2] for session in sessions]
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise BadInput(
            f"Several --data folders have sessions of one name ({some_of(repeated, NAMED)}); one table cannot describe "
            "both.",
            "Omit --sites, so that each folder is a site, or use different labels in each folder.",
        )
    rows = [next((row for row in (name, name.split("_")[0]) if row in table), "") for name in names]
    if lacking := [name for name, row in zip(names, rows, strict=True) if not row]:
        raise BadInput(
            f"{path.name} has no row with a site for {some_of(lacking, NAMED)}.",
            "Add a row with participant_id and site for each, or leave these sessions out of the --data folders.",
        )
    if unused := [row for row in table if row not in rows]:
        LOG.warning("%s: no preprocessed image belongs to %s; are the labels right?", path.name, some_of(unused, NAMED))
    return [table[row] for row in rows]


def _read(path: Path) -> dict[str, str]:
    """The site of each ``sub-X`` or ``sub-X_ses-Y``; BadInput if the file is not such a table."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream, delimiter="\t", restval="", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path} cannot be read ({error}).", "--sites takes a TSV file.") from error
    if not rows or not {"participant_id", "site"} <= set(rows[0]):
        raise BadInput(f"{path.name} has no columns participant_id and site.", "It must be a TSV with these columns.")
    table: dict[str, str] = {}
    for row in rows:
        person, session, site = (row.get(column, "").strip(' "') for column in ("participant_id", "session_id", "site"))
        name = f"sub-{person.removeprefix('sub-')}"
        if session not in NOTHING:
            name += f"_ses-{session.removeprefix('ses-')}"
        if person in NOTHING or (site not in NOTHING and table.get(name, site) != site):
            raise BadInput(
                f"{path.name} does not give one site for {name if person not in NOTHING else 'every row'}.",
                "Each row needs a participant_id, and no two rows of a session may have different sites.",
            )
        if site not in NOTHING:  # participants without a site may be others than those of the training
            table[name] = site
    return table
