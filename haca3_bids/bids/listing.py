"""The images in the folders of a subject, and problems with the names of the folders."""

import os
from collections.abc import Iterator
from pathlib import Path

from haca3_bids.bids.names import IMAGE_EXTENSIONS, OTHER_FORMATS, is_label, parse_entities
from haca3_bids.errors import BadInput

LABELS = "Labels consist of letters, digits and '+'. Rename the folder and the files in it."


def check_subject_folder(bids_dir: Path, subject: str) -> None:
    """Raise BadInput if the label of a subject is invalid, or its folder is a broken link."""
    folder = bids_dir / f"sub-{subject}"
    if not is_label(subject):
        raise BadInput(f"The folder {folder.name} has the label '{subject}', which is not valid in BIDS.", LABELS)
    _check_link(folder, bids_dir)


def session_places(folder: Path) -> dict[str | None, Path]:
    """The folder of each session of a subject by label; None is the label of the subject's own folder.

    Raises OSError if the subject's folder cannot be read.
    """
    names = sorted(path.name for path in folder.iterdir())
    found: dict[str | None, Path] = {None: folder} if "anat" in names else {}
    sessions = [folder / name for name in names if name.startswith("ses-")]
    return found | {path.name.removeprefix("ses-"): path for path in sessions if path.is_dir() or path.is_symlink()}


def anatomical_files(place: Path, bids_dir: Path) -> list[Path]:
    """Every image below a session's folder ``anat``, of any format, in alphabetical order, without hidden ones.

    Raises BadInput if one of these folders is a broken link, OSError if it cannot be read.
    """
    _check_link(place, bids_dir)
    _check_link(place / "anat", bids_dir)
    return sorted(_walk(place / "anat")) if (place / "anat").is_dir() else []


def unreadable(error: OSError, place: Path, bids_dir: Path) -> BadInput:
    """The error for a file or folder in ``place`` that cannot be read."""
    found = Path(str(error.filename or place))
    shown = found.relative_to(bids_dir) if found.is_relative_to(bids_dir) else found.name
    return BadInput(
        f"{shown} cannot be read ({error.strerror}).", "Check its owner and permissions, or exclude the subject."
    )


def _check_link(place: Path, bids_dir: Path) -> None:
    if place.is_symlink() and not place.exists():
        raise BadInput(
            f"{place.relative_to(bids_dir)} is a broken link.", "Mount the folder that it points to, or get the data."
        )


def _walk(folder: Path) -> Iterator[Path]:
    for entry in os.scandir(folder):
        if entry.name.startswith("."):
            continue
        if entry.name.lower().endswith((*IMAGE_EXTENSIONS, *OTHER_FORMATS)):
            yield Path(entry.path)
        elif entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))


def check_session_label(subject: str, session: str | None) -> None:
    """Raise BadInput if the label of a session is invalid."""
    if session is not None and not is_label(session):
        raise BadInput(
            f"The folder sub-{subject}/ses-{session} has the label '{session}', which is not valid in BIDS.", LABELS
        )


def check_name(path: Path, subject: str, session: str | None, bids_dir: Path) -> None:
    """Raise BadInput if a file name states another subject or session than its folder, or cannot be printed."""
    if not path.name.isprintable():
        raise BadInput(f"The file name {path.name!a} contains characters that cannot be printed.", "Rename the file.")
    entities, _, _ = parse_entities(path.name)
    for key, expected, word in (("sub", subject, "subject"), ("ses", session, "session")):
        found = entities.get(key)
        if found != expected:
            has = f"{key}-{found}" if found is not None else f"no {word}"
            wanted = f"{key}-{expected}" if expected is not None else f"no {word}"
            raise BadInput(
                f"{path.relative_to(bids_dir)}: the file name contains {has}, its folder {wanted}.",
                "Move or rename the file, or list it in .bidsignore.",
            )
