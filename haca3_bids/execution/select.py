"""Which sessions a run works on, found before any of them starts."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from haca3_bids.bids.discover import Session, check_session, discover_subject, list_subjects
from haca3_bids.errors import BadInput, Haca3Error, NothingSelected, NoUsableImage
from haca3_bids.execution.outcome import FAILED, SKIPPED, Outcome
from haca3_bids.settings import CONTRASTS, SelectionSettings, Settings

LOGGER = logging.getLogger("haca3_bids")
BY_SELECTION = ("left out by --bids-filter-file", "is not among --modalities")


@dataclass(frozen=True)
class Selection:
    """Sessions that can be processed, and how the others ended already."""

    sessions: tuple[Session, ...]
    outcomes: tuple[Outcome, ...]
    failed: tuple[Session, ...] = ()  # sessions of the failed outcomes, where they are known


def select_sessions(settings: Settings) -> Selection:
    """The sessions with images; NothingSelected (18) or NoUsableImage (66) when there is none at all."""
    found: list[Session] = []
    outcomes: list[Outcome] = []
    for subject in list_subjects(settings.bids_dir, settings.selection.participants):
        try:
            found += _discover(settings, subject)
        except Haca3Error as error:
            if error.exit_code == 64:
                raise
            outcomes.append(Outcome(f"sub-{subject}", FAILED, "looking for its images", error))
    if not found and not outcomes:
        raise _nothing(settings.selection)
    with_images = [session for session in found if session.images]
    if not with_images and not outcomes:
        raise _no_image(settings, found)
    outcomes += [Outcome(one.name, SKIPPED, reason=_why_empty(one)) for one in found if not one.images]
    return _checked(with_images, outcomes)


def _discover(settings: Settings, subject: str) -> list[Session]:
    """The subject's sessions; BadInput where a folder or a file of it may not be read."""
    try:
        _check_access(settings.bids_dir / f"sub-{subject}")
        return discover_subject(settings.bids_dir, subject, settings.selection)
    except OSError as error:
        place = Path(str(error.filename or f"sub-{subject}"))
        shown = place.relative_to(settings.bids_dir) if place.is_relative_to(settings.bids_dir) else place.name
        raise BadInput(
            f"{shown} cannot be read ({error.strerror}).", "Check its owner and permissions, or leave the subject out."
        ) from error


def _check_access(folder: Path) -> None:
    """Raise PermissionError where a folder that holds scans is closed: looking for files in it finds none."""
    if folder.exists() and not os.access(folder, os.R_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
    for inner in (*folder.glob("ses-*"), *folder.glob("anat")):
        if inner.is_dir():
            _check_access(inner)


def _checked(sessions: Sequence[Session], outcomes: list[Outcome]) -> Selection:
    good: list[Session] = []
    bad: list[Session] = []
    for session in sessions:
        try:
            check_session(session)
            good.append(session)
        except Haca3Error as error:
            outcomes.append(Outcome(session.name, FAILED, "looking at its images", error))
            bad.append(session)
    return Selection(tuple(good), tuple(outcomes), tuple(bad))


def _nothing(selection: SelectionSettings) -> NothingSelected:
    labels = ", ".join(selection.sessions)
    return NothingSelected(f"No subject has a session {labels}.", "See the folders ses-* of the dataset.")


def _no_image(settings: Settings, sessions: Sequence[Session]) -> Haca3Error:
    reasons = [one.reason for session in sessions for one in session.left_out]
    if any(words in reason for reason in reasons for words in BY_SELECTION):
        return NothingSelected(
            "The filters leave no image of any session.", "See --bids-filter-file and --modalities; try --dry-run."
        )
    return NoUsableImage(
        f"No session of {settings.bids_dir.name} has a usable {', '.join(CONTRASTS[:-1])} or {CONTRASTS[-1]} image.",
        f"Left out: {reasons[0]}." if reasons else "Images belong into sub-X/[ses-Y/]anat.",
    )


def _why_empty(session: Session) -> str:
    if not session.left_out:
        return "no image of one of the four contrasts"
    return "; ".join(f"{one.path.name}: {one.reason}" for one in session.left_out)


def table(selection: Selection, settings: Settings) -> str:
    """Images found, images left out and why, a session after the other: what --dry-run prints."""
    lines = []
    for session in selection.sessions:
        lines.append(session.name)
        for contrast, image in session.images.items():
            role = "reference" if contrast == session.reference else "source"
            path = image.path.relative_to(settings.bids_dir)
            lines.append(f"  {contrast:<6} {role:<10} {path} ({image.reason})")
        lines += [
            f"  left out          {one.path.relative_to(settings.bids_dir)}: {one.reason}" for one in session.left_out
        ]
    for outcome in selection.outcomes:
        why = outcome.error.sentence if outcome.error else outcome.reason
        lines.append(f"{outcome.name}\n  {outcome.status:<8} {why}")
    return "\n".join(lines)
