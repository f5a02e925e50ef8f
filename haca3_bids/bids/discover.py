"""The sessions of a dataset and the scans that serve as their sources, by pybids, one subject at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haca3_bids.bids.choice import candidate, choose
from haca3_bids.bids.names import matches_filter, parse_entities, session_folder, session_name
from haca3_bids.errors import BadInput, InvalidBids, NothingSelected, UsageError
from haca3_bids.settings import CONTRASTS, REFERENCE_ORDER, SelectionSettings
from haca3_bids.volumes.header import check_geometry

IMAGE_EXTENSIONS = (".nii", ".nii.gz")
OTHER_CONTRASTS = {
    "MP2RAGE": "not supported: an inversion image of MP2RAGE is no weighted image of one of the four contrasts",
    "UNIT1": "not supported: the uniform image of MP2RAGE has noise in the place of air",
    "T1map": "not supported: a map of T1, not a T1-weighted image",
    "R1map": "not supported: a map of R1, not a T1-weighted image",
    "PDT2": "a combined PD and T2 image is two volumes in one file; split it into PDw and T2w",
    "PD": "the suffix PD is deprecated; name a proton-density weighted image PDw",
    "defacemask": "a mask, not an image",
    "mask": "a mask, not an image",
}
UNWANTED_ENTITIES = {
    "ce": "contrast agent was given (ce-); ask for it by name with --bids-filter-file",
    "inv": "not supported: an inversion image of a quantitative acquisition (inv-)",
    "mt": "part of a magnetization-transfer pair (mt-)",
    "chunk": "one of several parts of a head (chunk-)",
    "space": "not in its own space (space-): not a raw scan",
    "desc": "processed (desc-): not a raw scan",
}


@dataclass(frozen=True)
class SourceImage:
    """A scan that serves as a source, and why this one."""

    contrast: str
    path: Path
    entities: Mapping[str, str]
    reason: str


@dataclass(frozen=True)
class LeftOut:
    """A scan that is not used, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Session:
    """One visit of one subject: at most one scan of each contrast."""

    subject: str
    session: str | None
    images: Mapping[str, SourceImage]
    left_out: tuple[LeftOut, ...] = ()

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
    """Labels of the dataset's subjects, or those of ``wanted``; NothingSelected names labels that are not there."""
    links = {path.name.removeprefix("sub-"): path for path in bids_dir.glob("sub-*")}
    found = sorted(label for label, path in links.items() if path.is_dir() or not path.exists())
    if not found:
        raise InvalidBids(f"There is no subject (no folder sub-*) in {bids_dir.name}.", "Is this a BIDS dataset?")
    missing = [label for label in wanted if label not in found]
    if missing:
        some = ", ".join(found[:8]) + (", ..." if len(found) > 8 else "")
        raise NothingSelected(
            f"{bids_dir.name} has no participant {', '.join(missing)}.", f"It has {len(found)}: {some}."
        )
    return [label for label in found if not wanted or label in wanted]


def read_filters(path: Path | None) -> dict[str, dict[str, Any]]:
    """Filters by contrast from a JSON file with the keys t1w, t2w, pdw, flair."""
    if path is None:
        return {}
    try:
        filters = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"The filter file {path.name} cannot be read as JSON ({type(error).__name__}).") from error
    by_key = {contrast.lower(): contrast for contrast in CONTRASTS}
    if not isinstance(filters, dict) or not all(isinstance(value, dict) for value in filters.values()):
        raise UsageError(f"{path.name} must hold an object of objects.", 'For example {"t1w": {"acquisition": "3D"}}.')
    unknown = sorted(set(filters) - set(by_key))
    if unknown:
        raise UsageError(f"{path.name} has the key '{unknown[0]}'; known are: {', '.join(by_key)}.")
    return {by_key[key]: value for key, value in filters.items()}


def discover_subject(bids_dir: Path, subject: str, selection: SelectionSettings) -> list[Session]:
    """The sessions of one subject with the scans chosen; a session without usable scan has no images."""
    folder = bids_dir / f"sub-{subject}"
    for place in (folder, *folder.glob("ses-*"), *folder.glob("anat"), *folder.glob("ses-*/anat")):
        if not place.exists():
            raise BadInput(
                f"{place.relative_to(bids_dir)} is a link that points nowhere.",
                "Mount the folder it points to, or get the data.",
            )
    filters = read_filters(selection.filter_file)
    files = list(_anatomical_files(bids_dir, subject, selection.database_dir))
    labels = sorted({session for _, session, _ in files} | _session_folders(folder), key=lambda label: label or "")
    return [
        _session(subject, label, [(path, meta) for path, own, meta in files if own == label], selection, filters)
        for label in labels or [None]
        if not selection.sessions or label in selection.sessions
    ]


def check_session(session: Session, force: Sequence[str] = ()) -> None:
    """Raise BadInput when a chosen file is missing, no image, not one 3D volume, or has a header that cannot be true.

    With "orientation" in ``force``, a header that does not say where left and right are will do.
    """
    for image in session.images.values():
        check_geometry(image.path, forced="orientation" in force)


def _session_folders(folder: Path) -> set[str | None]:
    return {path.name.removeprefix("ses-") for path in folder.glob("ses-*") if path.is_dir()}


def _anatomical_files(
    bids_dir: Path, subject: str, database: Path | None
) -> Iterator[tuple[Path, str | None, Mapping[str, Any]]]:
    """Path, session label and metadata of each NIfTI file in the subject's anat folders, in alphabetical order."""
    from bids.layout import BIDSLayout, BIDSLayoutIndexer

    subject_pattern = rf"^/(?!sub-{subject}(/ses-[^/]+)?(/anat(/.*)?)?$)(?![^/]+\.json$)"
    ignore = [re.compile(r"/\."), re.compile(r"^/(derivatives|sourcedata|code|models|stimuli)(/|$)")]
    if database is None:
        ignore.append(re.compile(subject_pattern))
    layout = BIDSLayout(
        bids_dir,
        database_path=database,
        indexer=BIDSLayoutIndexer(validate=False, index_metadata=True, ignore=ignore),
    )
    found = layout.get(subject=subject, datatype="anat", extension=list(IMAGE_EXTENSIONS))
    for file in sorted(found, key=lambda one: one.path):
        path = Path(file.path)
        yield path, file.entities.get("session"), file.get_metadata()


def _session(
    subject: str,
    label: str | None,
    files: Sequence[tuple[Path, Mapping[str, Any]]],
    selection: SelectionSettings,
    filters: Mapping[str, Mapping[str, Any]],
) -> Session:
    left_out: list[LeftOut] = []
    images: dict[str, SourceImage] = {}
    usable: dict[str, list[tuple[Path, Mapping[str, Any]]]] = {}
    for path, metadata in files:
        reason = _unusable(path, selection, filters)
        if reason:
            left_out.append(LeftOut(path, reason))
        else:
            usable.setdefault(parse_entities(path.name)[1], []).append((path, metadata))
    for contrast in CONTRASTS:
        scans = [candidate(path, parse_entities(path.name)[0], meta) for path, meta in usable.get(contrast, [])]
        if scans:
            best, reason, against = choose(scans)
            images[contrast] = SourceImage(contrast, best.path, best.entities, reason)
            left_out += [LeftOut(path, why) for path, why in against.items()]
    return Session(subject, label, images, tuple(left_out))


FILTER_KEYS = {
    "acquisition": "acq",
    "reconstruction": "rec",
    "ceagent": "ce",
    "session": "ses",
    "subject": "sub",
    "inversion": "inv",
}


def _unusable(path: Path, selection: SelectionSettings, filters: Mapping[str, Mapping[str, Any]]) -> str:
    """Why a file is not even a candidate; empty when it is one."""
    entities, suffix, _ = parse_entities(path.name)
    if suffix in OTHER_CONTRASTS:
        return OTHER_CONTRASTS[suffix]
    if suffix not in CONTRASTS:
        return f"{suffix} is none of {', '.join(CONTRASTS)}"
    wanted = {FILTER_KEYS.get(key, key): value for key, value in filters.get(suffix, {}).items()}
    for entity, reason in UNWANTED_ENTITIES.items():
        if entity in entities and wanted.get(entity) is None:
            return reason
    if entities.get("part", "mag") != "mag":
        return f"the {entities['part']} part of a complex image (part-{entities['part']})"
    if suffix not in selection.modalities:
        return f"{suffix} is not among --modalities"
    known = {key: value for key, value in wanted.items() if key not in ("suffix", "datatype", "extension")}
    if not matches_filter(entities, known):
        return "left out by --bids-filter-file"
    return ""
