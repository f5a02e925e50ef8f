"""The selection of sessions, before any of them is processed."""

import dataclasses
import errno
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from haca3_bids.bids.discover import Session, check_session, discover_subject, list_subjects, read_filters
from haca3_bids.bids.listing import unreadable
from haca3_bids.bids.names import is_label, parse_entities, some_of
from haca3_bids.bids.usable import FILTERED, NOT_REQUESTED
from haca3_bids.errors import BadInput, Haca3Error, InputOutputFailure, NothingSelected, NoUsableImage
from haca3_bids.execution.outcome import FAILED, SKIPPED, Outcome
from haca3_bids.records.target import Target
from haca3_bids.settings import CONTRASTS, Settings

LOGGER = logging.getLogger("haca3_bids")


@dataclass(frozen=True)
class Selection:
    """Sessions to process, and the outcomes of the others."""

    sessions: tuple[Session, ...]
    outcomes: tuple[Outcome, ...]
    failed: tuple[Session, ...] = ()  # sessions of the failed outcomes, as far as they are known and have a valid name
    empty: tuple[Session, ...] = ()  # sessions without a usable image
    references: Mapping[str, Sequence[Target]] = field(default_factory=dict)  # without --target


def select_sessions(settings: Settings) -> Selection:
    """The sessions with images; NothingSelected (18) or NoUsableImage (66) when there is none at all."""
    found: list[Session] = []
    outcomes: list[Outcome] = []
    without: list[str] = []
    read_filters(settings.selection.filter_file)  # an invalid file is an error of the whole run, not of a subject
    for subject in list_subjects(settings.bids_dir, settings.selection.participants):
        try:
            own = discover_subject(settings.bids_dir, subject, settings.selection)
            found += own
            without += [] if own else [f"sub-{subject}"]
        except Exception as error:  # of any kind: the other subjects go on
            name = f"sub-{subject}"
            outcomes.append(Outcome(name, FAILED, "searching for images", input_error(error, name, settings.bids_dir)))
    if not found and not outcomes:
        labels = ", ".join(settings.selection.sessions)
        raise NothingSelected(f"No subject has a session {labels}.", "See the folders ses-* of the dataset.")
    if found and without:
        labels = " or ".join(settings.selection.sessions)
        LOGGER.warning("Left out, because they have no session %s: %s.", labels, some_of(without))
    absent = [label for label in settings.selection.sessions if label not in {one.session for one in found}]
    if absent and not outcomes:
        LOGGER.warning("No subject has a session with the label %s.", " or ".join(absent))
    for contrast in _emptied_by_filters(found):
        LOGGER.warning(
            "--bids-filter-file excludes every %s image. Check its entities, for example their spelling.", contrast
        )
    to_check = [session for session in found if session.images or session.problem]
    if not to_check and not outcomes:
        raise _no_image(settings, found)
    empty = [session for session in found if session not in to_check]
    outcomes += [Outcome(one.name, SKIPPED, reason=_why_empty(one)) for one in empty]
    return dataclasses.replace(_checked(to_check, outcomes, settings), empty=tuple(empty))


def _emptied_by_filters(sessions: Sequence[Session]) -> list[str]:
    """The contrasts of which only the filters leave no image."""
    used = {contrast for session in sessions for contrast in session.images}
    filtered = {
        parse_entities(Path(one.path).name)[1]
        for session in sessions
        for one in session.left_out
        if one.reason == FILTERED
    }
    return [contrast for contrast in CONTRASTS if contrast in filtered - used]


def _checked(sessions: Sequence[Session], outcomes: list[Outcome], settings: Settings) -> Selection:
    good: list[Session] = []
    bad: list[Session] = []
    for session in sessions:
        try:
            check_session(session, settings.preprocessing.force)
            good.append(session)
        except Exception as error:  # as above
            own = input_error(error, session.name, settings.bids_dir)
            outcomes.append(Outcome(session.name, FAILED, "checking its images", own))
            bad += [session] if session.session is None or is_label(session.session) else []
    return Selection(tuple(good), tuple(outcomes), tuple(bad))


def input_error(error: Exception, name: str, bids_dir: Path) -> Haca3Error:
    """The expected error for an exception in the files of the subject or session ``name``."""
    if isinstance(error, Haca3Error):
        return error
    LOGGER.debug("%s", name, exc_info=error)
    if isinstance(error, OSError) and error.errno in (errno.EIO, errno.ESTALE):
        return InputOutputFailure(f"Reading the files of {name} failed ({error.strerror}).", "Is the disk mounted?")
    if isinstance(error, OSError):
        return unreadable(error, bids_dir / name, bids_dir)
    words = " ".join(f"{type(error).__name__}: {error}".split())
    return BadInput(f"The files of {name} cannot be understood ({words}).", "Inspect them; -v prints the details.")


def _no_image(settings: Settings, sessions: Sequence[Session]) -> Haca3Error:
    left_out = [one for session in sessions for one in session.left_out]
    if any(words in one.reason for one in left_out for words in (NOT_REQUESTED, FILTERED)):
        return NothingSelected(
            "The filters exclude all images of all sessions.", "See --bids-filter-file and --modalities; try --dry-run."
        )
    return NoUsableImage(
        f"No session of {settings.bids_dir.name} has a usable {', '.join(CONTRASTS[:-1])} or {CONTRASTS[-1]} image.",
        f"Left out: {left_out[0].path} ({left_out[0].reason})."
        if left_out
        else "Images must be in sub-X/[ses-Y/]anat.",
    )


def _why_empty(session: Session) -> str:
    if not session.left_out:
        return "no image of one of the four contrasts"
    return "; ".join(f"{Path(one.path).name}: {one.reason}" for one in session.left_out)


def table(selection: Selection, settings: Settings) -> str:
    """The images found and left out in each session, with reasons, as printed by --dry-run."""
    lines = []
    for session in selection.sessions:
        lines.append(session.name)
        for contrast, image in session.images.items():
            role = "reference" if contrast == session.reference else "source"
            path = image.path.relative_to(settings.bids_dir)
            lines.append(f"  {contrast:<6} {role:<10} {path} ({image.reason})")
        lines += [f"  left out          {one.path}: {one.reason}" for one in session.left_out]
        lines += [f"  warning           {warning}" for warning in session.warnings]
    for outcome in selection.outcomes:
        lines.append(f"{outcome.name}\n  {outcome.status:<8} {outcome.sentence}")
    return "\n".join(lines)
