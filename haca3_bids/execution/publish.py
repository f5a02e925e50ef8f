"""Records of failed sessions, pages of subjects, and the methods text."""

import logging
from collections.abc import Sequence
from contextlib import ExitStack

from haca3_bids.bids.atomic import locked, make_folder
from haca3_bids.bids.discover import Session
from haca3_bids.bids.names import page_of
from haca3_bids.bids.record import write_failure
from haca3_bids.errors import (
    DISK_ERRORS,
    CannotCreate,
    Haca3Error,
    InputOutputFailure,
    NothingSelected,
    TemporaryFailure,
)
from haca3_bids.execution.earlier import judge_again
from haca3_bids.execution.outcome import DONE, FAILED, Outcome, exit_code
from haca3_bids.execution.task import Run
from haca3_bids.reports.cohort import RECORDS, with_results
from haca3_bids.settings import Settings

LOGGER = logging.getLogger("haca3_bids")
WRITING = "writing its page"
REMOVED = "If another run works on the output, wait until it has finished. Then run the same command again."


def publish(run: Run, sessions: Sequence[Session], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Write a record of each failed session, and the pages of all subjects.

    Returns the outcomes: without a page of the subject, a session has failed, and the run goes on.
    """
    by_name = {session.name: session for session in sessions}
    for outcome in outcomes:
        if outcome.status == FAILED and outcome.error is not None:
            try:
                write_failure(run.context(by_name[outcome.name]), outcome.error.failure(outcome.step))
            except (Haca3Error, OSError) as error:
                LOGGER.warning(
                    "The failure of %s is not in its report, which cannot be written: %s", outcome.name, error
                )
    unwritten: dict[str, Haca3Error] = {}
    for subject in dict.fromkeys(session.subject for session in sessions):
        try:
            write_page(run.settings, subject)
        except (Haca3Error, OSError) as error:
            unwritten[subject] = _expected(f"sub-{subject}", error)
    lacking = {name: unwritten.get(session.subject) for name, session in by_name.items()}
    return [_without_page(one, lacking[one.name]) for one in outcomes]


def _without_page(outcome: Outcome, error: Haca3Error | None) -> Outcome:
    if error is None or outcome.status == FAILED:
        return outcome
    return Outcome(outcome.name, FAILED, WRITING, error)


def write_page(settings: Settings, subject: str) -> None:
    """Write the page of a subject, if it has a record."""
    from haca3_bids.reports.subject import write_subject_page

    if any((settings.output_dir / f"sub-{subject}").rglob(RECORDS)):
        with locked(settings.output_dir, page_of(subject)):  # other runs may process other sessions of the subject
            page = write_subject_page(settings.output_dir, subject, show_targets=settings.quality.show_targets)
        LOGGER.info("Page: %s", page)


def rewrite_pages(settings: Settings) -> int:
    """``--reports-only``: write all pages again, from the existing output."""
    found = sorted(path.name[4:] for path in settings.output_dir.glob("sub-*") if path.is_dir())
    subjects = with_results(settings.output_dir, settings.bids_dir, found, settings.selection.participants)
    if not subjects:
        raise NothingSelected(
            f"There is no subject to report on in {settings.output_dir.name}.", "Run the participant level first."
        )
    make_folder(settings.output_dir)
    return exit_code([_rewritten(settings, subject) for subject in subjects])


def _rewritten(settings: Settings, subject: str) -> Outcome:
    """Judge the records of a subject again and write its page; it is left out if another process works on it."""
    name = f"sub-{subject}"
    try:
        with ExitStack() as stack:
            records = sorted((settings.output_dir / name).rglob(RECORDS))
            for path in records:
                session = path.name.partition("_desc-")[0]
                stack.enter_context(locked(settings.output_dir, session, patience_s=0))
            for path in records:
                judge_again(path, settings)
            write_page(settings, subject)
    except (Haca3Error, OSError) as error:
        known = _expected(name, error)
        LOGGER.warning("%s is left out: %s", name, known)
        return Outcome(name, FAILED, WRITING, known)
    return Outcome(name, DONE)


def _expected(name: str, error: Haca3Error | OSError) -> Haca3Error:
    if isinstance(error, Haca3Error):
        return error
    if isinstance(error, FileNotFoundError):
        return TemporaryFailure(f"A file of {name} was removed.", REMOVED)
    if error.errno in DISK_ERRORS:
        return InputOutputFailure(f"Writing files of {name} failed ({error.strerror}).", "Is the disk full?")
    return CannotCreate(f"Files of {name} cannot be written ({error.strerror}).", "Check their owner and permissions.")


def write_boilerplate(settings: Settings) -> int:
    """``--boilerplate-only``: CITATION.md, .html and .bib in the output's ``logs``."""
    from haca3_bids.reports.methods import write_methods

    folder = make_folder(settings.output_dir / "logs")
    write_methods(folder, methods_sentences(settings))
    LOGGER.info("Methods text: %s", folder / "CITATION.md")
    return 0


def methods_sentences(settings: Settings) -> list[str]:
    """The methods text of all steps, in sentences with citations."""
    from haca3_bids.workflows.participant import methods

    return methods(settings)
