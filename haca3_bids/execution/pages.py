"""Pages and methods text, made from what is already there."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from haca3_bids.bids.atomic import make_folder, write_json
from haca3_bids.errors import NothingSelected
from haca3_bids.settings import Settings

LOGGER = logging.getLogger("haca3_bids")


def write_pages(settings: Settings, subjects: Sequence[str]) -> None:
    """Write the page of each subject that has a record."""
    from haca3_bids.reports.subject import write_subject_page

    for subject in subjects:
        if any((settings.output_dir / f"sub-{subject}").rglob("sub-*_desc-haca3_qc.json")):
            page = write_subject_page(settings.output_dir, subject, show_targets=settings.quality.show_targets)
            LOGGER.info("Page: %s", page)


def rewrite_pages(settings: Settings) -> int:
    """``--reports-only``: all pages again, from the output as it stands."""
    found = sorted(path.name[4:] for path in settings.output_dir.glob("sub-*") if path.is_dir())
    wanted = settings.selection.participants
    subjects = [label for label in found if not wanted or label in wanted]
    if not subjects:
        raise NothingSelected(f"There is no subject to report on in {settings.output_dir.name}.")
    for subject in subjects:
        for path in (settings.output_dir / f"sub-{subject}").rglob("sub-*_desc-haca3_qc.json"):
            judge_again(path, settings)
    write_pages(settings, subjects)
    return 0


def judge_again(path: Path, settings: Settings) -> None:
    """The verdict in a session's record by the limits of this run, where they differ from those it was made with."""
    from haca3_bids.bids.record import read_session
    from haca3_bids.quality.verdict import record_judged_again

    record = read_session(path)
    if record and record.quality and record.quality.thresholds_changed != settings.quality.thresholds:
        write_json(path, record_judged_again(record, settings.quality.thresholds))


def write_boilerplate(settings: Settings) -> int:
    """``--boilerplate-only``: CITATION.md, .html and .bib in the output's ``logs``."""
    from haca3_bids.reports.methods import write_methods

    folder = make_folder(settings.output_dir / "logs")
    write_methods(folder, methods_sentences(settings))
    LOGGER.info("Methods text: %s", folder / "CITATION.md")
    return 0


def methods_sentences(settings: Settings) -> list[str]:
    """What was done, in sentences with citations, of every step."""
    from haca3_bids.workflows.participant import methods

    return methods(settings)
