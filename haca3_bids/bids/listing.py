"""The NIfTI files of a subject as they lie in its folders, and what is wrong with the names of the folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from haca3_bids.bids.names import is_label, parse_entities
from haca3_bids.errors import BadInput

IMAGE_EXTENSIONS = (".nii", ".nii.gz")
LABELS = "Labels have letters, digits and '+' only; rename the folder and the files in it."


def check_subject_folder(bids_dir: Path, subject: str) -> None:
    """Raise BadInput where a subject's label is none, or its folder is a link that points nowhere."""
    folder = bids_dir / f"sub-{subject}"
    if not is_label(subject):
        raise BadInput(f"The folder {folder.name} has the label '{subject}', which is no BIDS label.", LABELS)
    _check_link(folder, bids_dir)


def session_places(folder: Path) -> dict[str | None, Path]:
    """The folder of each session of a subject, by the label its name gives; None for the subject's own.

    Raises OSError when the subject's folder cannot be read.
    """
    names = sorted(path.name for path in folder.iterdir())
    found: dict[str | None, Path] = {None: folder} if "anat" in names else {}
    sessions = [folder / name for name in names if name.startswith("ses-")]
    return found | {path.name.removeprefix("ses-"): path for path in sessions if path.is_dir() or path.is_symlink()}


def anatomical_files(place: Path, bids_dir: Path) -> list[Path]:
    """Every NIfTI file below a session's folder ``anat``, in alphabetical order; hidden ones are none.

    Raises BadInput where one of these folders is a link that points nowhere, OSError where it cannot be read.
    """
    _check_link(place, bids_dir)
    _check_link(place / "anat", bids_dir)
    return sorted(_walk(place / "anat")) if (place / "anat").is_dir() else []


def unreadable(error: OSError, place: Path, bids_dir: Path) -> BadInput:
    """What a refused look at a file or folder in ``place`` amounts to."""
    found = Path(str(error.filename or place))
    shown = found.relative_to(bids_dir) if found.is_relative_to(bids_dir) else found.name
    return BadInput(
        f"{shown} cannot be read ({error.strerror}).", "Check its owner and permissions, or leave the subject out."
    )


def _check_link(place: Path, bids_dir: Path) -> None:
    if place.is_symlink() and not place.exists():
        raise BadInput(
            f"{place.relative_to(bids_dir)} is a link that points nowhere.",
            "Mount the folder it points to, or get the data.",
        )


def _walk(folder: Path) -> Iterator[Path]:
    for entry in os.scandir(folder):
        if entry.name.startswith("."):
            continue
        if entry.name.endswith(IMAGE_EXTENSIONS):
            yield Path(entry.path)
        elif entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))


def check_session_label(subject: str, session: str | None) -> None:
    """Raise BadInput where the label of a session's folder is none."""
    if session is not None and not is_label(session):
        raise BadInput(
            f"The folder sub-{subject}/ses-{session} has the label '{session}', which is no BIDS label.", LABELS
        )


def check_name(path: Path, subject: str, session: str | None, bids_dir: Path) -> None:
    """Raise BadInput where the name of a file belongs to another subject or session than its folder."""
    entities, _, _ = parse_entities(path.name)
    for key, expected, word in (("sub", subject, "subject"), ("ses", session, "session")):
        found = entities.get(key)
        if found != expected:
            has = f"{key}-{found}" if found is not None else f"no {word}"
            wanted = f"{key}-{expected}" if expected is not None else f"no {word}"
            raise BadInput(
                f"{path.relative_to(bids_dir)}: the name says {has}, the folder {wanted}.",
                "Whose scan is it? Move or rename it, or name it in .bidsignore.",
            )
