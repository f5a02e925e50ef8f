"""The group level: two tables and a page from the records of all sessions, without reading an image."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from haca3_bids.bids.atomic import make_folder, write_text
from haca3_bids.errors import NothingSelected, UsageError
from haca3_bids.quality.verdict import record_judged_again
from haca3_bids.reports.cohort import Member, cohort_notes, read_cohort
from haca3_bids.reports.findings import write_table
from haca3_bids.reports.group import group_page
from haca3_bids.reports.tables import contrast_table, qc_table
from haca3_bids.settings import Settings

LOGGER = logging.getLogger("haca3_bids")


def run_group(settings: Settings) -> int:
    """Write ``group_contrast.tsv``, ``group_qc.tsv``, their dictionaries and ``group.html`` into the output folder."""
    selection, output_dir = settings.selection, settings.output_dir
    members = read_cohort(output_dir, settings.bids_dir, selection.participants, selection.sessions)
    if not members:
        raise NothingSelected(
            f"There is no session to report on in {output_dir.name}.", "Run the participant level first."
        )
    if settings.quality.thresholds:
        changed = settings.quality.thresholds
        members = [replace(one, record=record_judged_again(one.record, changed)) for one in members]
    check_column(members, settings.quality.group_by)
    make_folder(output_dir)
    write_table(output_dir, "group_contrast", contrast_table(members))
    write_table(output_dir, "group_qc", qc_table(members))
    notes = cohort_notes(members, settings.bids_dir, settings.quality.group_by)
    for note in notes:
        LOGGER.warning("%s", note)
    write_text(output_dir / "group.html", group_page(members, output_dir, settings.quality.group_by, notes))
    LOGGER.info("%d sessions: %s", len(members), output_dir / "group.html")
    return 0


def check_column(members: Sequence[Member], column: str) -> None:
    """UsageError if no session has the requested column."""
    known = {name for member in members for name in member.groups}
    if column and column not in known:
        raise UsageError(
            f"No session has a column '{column}' to group by.", f"There are: {', '.join(sorted(known)) or 'none'}."
        )
