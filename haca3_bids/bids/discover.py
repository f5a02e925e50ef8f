"""The sessions of a dataset and the scans that serve as their sources, one subject at a time."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from haca3_bids.bids.choice import candidate, choose
from haca3_bids.bids.ignored import IGNORE_FILE, Pattern, is_ignored, read_ignored
from haca3_bids.bids.lenient import read_text
from haca3_bids.bids.listing import (
    anatomical_files,
    check_name,
    check_session_label,
    check_subject_folder,
    session_places,
    unreadable,
)
from haca3_bids.bids.metadata import Metadata, read_metadata
from haca3_bids.bids.names import parse_entities, session_folder, session_name
from haca3_bids.bids.usable import why_enhanced, why_no_magnitude, why_unusable
from haca3_bids.errors import BadInput, InvalidBids, NothingSelected, UsageError
from haca3_bids.records.session import ImageLeftOut
from haca3_bids.settings import CONTRASTS, REFERENCE_ORDER, SelectionSettings
from haca3_bids.volumes.header import check_geometry

NO_METADATA = Metadata({})


@dataclass(frozen=True)
class SourceImage:
    """A scan used as a source, and the reason for its choice."""

    contrast: str
    path: Path
    entities: Mapping[str, str]
    reason: str
    metadata: Metadata = NO_METADATA

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about sidecars of the scan that could not be read."""
        return self.metadata.warnings


@dataclass(frozen=True)
class Session:
    """One session of a subject with at most one scan of each contrast, and none if there is a problem."""

    subject: str
    session: str | None
    images: Mapping[str, SourceImage]
    left_out: tuple[ImageLeftOut, ...] = ()
    problem: BadInput | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about sidecars of its scans that could not be read."""
        return tuple(warning for image in self.images.values() for warning in image.warnings)

    @property
    def reference(self) -> str:
        """The contrast to which the others are registered."""
        return next(contrast for contrast in REFERENCE_ORDER if contrast in self.images)

    @property
    def name(self) -> str:
        """``sub-01_ses-1``."""
        return session_name(self.subject, self.session)

    @property
    def folder(self) -> str:
        """``sub-01/ses-1/anat``, relative to a dataset."""
        return session_folder(self.subject, self.session)


def list_subjects(bids_dir: Path, wanted: Sequence[str] = ()) -> list[str]:
    """The labels of the subjects, or of those in ``wanted``; NothingSelected if one of these does not exist."""
    links = {path.name.removeprefix("sub-"): path for path in bids_dir.glob("sub-*")}
    found = sorted(label for label, path in links.items() if path.is_dir() or not path.exists())
    if not found:
        raise InvalidBids(f"{bids_dir.name} has no subjects (no folders sub-*).", "Is this a BIDS dataset?")
    return chosen_labels(bids_dir, found, wanted)


def chosen_labels(folder: Path, found: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The labels of participants in ``found`` that are ``wanted``, or all; NothingSelected if one is not there."""
    missing = [label for label in wanted if label not in found]
    if missing:
        some = ", ".join(found[:8]) + (", ..." if len(found) > 8 else "")
        raise NothingSelected(
            f"{folder.resolve().name} has no participant {', '.join(missing)}.", f"It has {len(found)}: {some}."
        )
    return [label for label in found if not wanted or label in wanted]


def read_filters(path: Path | None) -> dict[str, dict[str, Any]]:
    """Filters by contrast from a JSON file with the keys t1w, t2w, pdw, flair; UsageError if it is invalid."""
    if path is None:
        return {}
    try:
        filters = json.loads(read_text(path))
    except OSError as error:
        raise UsageError(
            f"The filter file {path.name} cannot be read ({error.strerror}).", "Check its path."
        ) from error
    except (ValueError, RecursionError) as error:
        sentence = f"The filter file {path.name} cannot be read as JSON ({error})."
        raise UsageError(sentence, 'For example {"t1w": {"acquisition": "3D"}}.') from error
    by_key = {contrast.lower(): contrast for contrast in CONTRASTS}
    if not isinstance(filters, dict) or not all(isinstance(value, dict) for value in filters.values()):
        raise UsageError(
            f"{path.name} must contain one JSON object of entities per contrast.",
            'For example {"t1w": {"acquisition": "3D"}}.',
        )
    unknown = sorted(set(filters) - set(by_key))
    if unknown:
        raise UsageError(f"{path.name} has the unknown key '{unknown[0]}'. Known keys: {', '.join(by_key)}.")
    return {by_key[key]: value for key, value in filters.items()}


def discover_subject(bids_dir: Path, subject: str, selection: SelectionSettings) -> list[Session]:
    """The sessions of a subject with their chosen scans; a session without usable scans has no images.

    An invalid session stores its problem, which ``check_session`` raises. Raises BadInput if the whole subject is
    invalid.
    """
    check_subject_folder(bids_dir, subject)
    filters = read_filters(selection.filter_file)
    folder = bids_dir / f"sub-{subject}"
    try:
        places = session_places(folder) or {None: folder}
    except OSError as error:
        raise unreadable(error, folder, bids_dir) from error
    sessions = []
    for label, place in places.items():
        if selection.sessions and label not in selection.sessions:
            continue
        try:
            check_session_label(subject, label)
            files = anatomical_files(place, bids_dir)
            sessions.append(_session(bids_dir, subject, label, files, selection, filters))
        except BadInput as problem:
            sessions.append(Session(subject, label, {}, problem=problem))
        except OSError as error:
            sessions.append(Session(subject, label, {}, problem=unreadable(error, place, bids_dir)))
    return sessions


def check_session(session: Session, force: Sequence[str] = ()) -> None:
    """Raise BadInput if the session has a problem, or a chosen file is not one 3D image with a consistent header.

    "orientation" in ``force`` accepts a header that does not define left and right.
    """
    if session.problem is not None:
        raise session.problem
    for image in session.images.values():
        check_geometry(image.path, forced="orientation" in force)


def _session(
    bids_dir: Path,
    subject: str,
    label: str | None,
    files: Sequence[Path],
    selection: SelectionSettings,
    filters: Mapping[str, Mapping[str, Any]],
) -> Session:
    against: dict[Path, str] = {}
    images: dict[str, SourceImage] = {}
    usable: dict[str, dict[Path, Metadata]] = {}
    ignored = read_ignored(bids_dir)
    for path in files:
        reason = _out_of_place(path, bids_dir, ignored) or why_unusable(path.name, selection, filters)
        if not reason:
            check_name(path, subject, label, bids_dir)
            metadata = read_metadata(path, bids_dir)
            reason = why_no_magnitude(path.name, metadata.part, filters)
            reason = reason or why_enhanced(path.name, metadata.contrast_agent, filters)
        if reason:
            against[path] = reason
        else:
            usable.setdefault(parse_entities(path.name)[1], {})[path] = metadata
    for contrast in CONTRASTS:
        known = usable.get(contrast, {})
        if known:
            best, reason, others = choose(
                [candidate(path, parse_entities(path.name)[0], own.image_type) for path, own in known.items()]
            )
            images[contrast] = SourceImage(contrast, best.path, best.entities, reason, known[best.path])
            against |= others
    left_out = tuple(ImageLeftOut(str(path.relative_to(bids_dir)), why) for path, why in against.items())
    return Session(subject, label, images, left_out)


def _out_of_place(path: Path, bids_dir: Path, ignored: Sequence[Pattern]) -> str:
    relative = PurePosixPath(path.relative_to(bids_dir))
    if is_ignored(relative, ignored):
        return f"named in {IGNORE_FILE}"
    if relative.parent.name != "anat":
        return "in a subfolder of anat, where BIDS allows no scans"
    return "" if path.name.startswith("sub-") else "its name does not state the subject (sub-)"
