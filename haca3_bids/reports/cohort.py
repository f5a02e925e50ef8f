"""All sessions of a derivatives dataset for the group level, from records and sidecars; no image is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haca3_bids.bids.atomic import read_json
from haca3_bids.bids.lenient import read_object
from haca3_bids.bids.names import parse_entities
from haca3_bids.bids.participants import read_participants

Record = Mapping[str, Any]
SIDECAR_GROUPS = {"manufacturer": "Manufacturer", "model": "ManufacturersModelName", "field": "MagneticFieldStrength"}
MOST_GROUPS = 60  # of one column: more tell people apart, not scanners
PARTICIPANTS = "participants.tsv"
NOT_KNOWN = "n/a"
PREFERRED = ("site", "scanner", "session")  # by which is coloured where nobody says


@dataclass(frozen=True)
class Member:
    """One session: its names, its record, and what it can be grouped by."""

    participant: str  # sub-01
    session: str  # ses-1, or ""
    record: Record
    groups: Mapping[str, str]

    @property
    def name(self) -> str:
        """``sub-01_ses-1``: what --target understands."""
        return "_".join(filter(None, (self.participant, self.session)))

    @property
    def verdict(self) -> str:
        """Pass, look or fail."""
        if self.record.get("status") != "done":
            return "fail"
        return str((self.record.get("quality") or {}).get("verdict", "look"))

    @property
    def reasons(self) -> list[Record]:
        """Why it was not passed, the worst first."""
        return list((self.record.get("quality") or {}).get("reasons") or ())

    @property
    def images(self) -> list[Record]:
        """The harmonized images."""
        return list((self.record.get("harmonization") or {}).get("images") or ())

    @property
    def sources(self) -> Mapping[str, Record]:
        """Theta, eta and attention of each source."""
        return dict(self.images[0].get("sources") or {}) if self.images else {}

    def numbers(self) -> Iterator[tuple[str, str, Record]]:
        """Kind ("session", "scan", "image"), where, and the quality numbers there."""
        quality = self.record.get("quality") or {}
        yield "session", "session", quality.get("session") or {}
        for kind, part in (("scan", "scans"), ("image", "images")):
            for where, own in (quality.get(part) or {}).items():
                yield kind, where, own


def read_cohort(
    output_dir: Path, bids_dir: Path, subjects: Sequence[str] = (), sessions: Sequence[str] = ()
) -> list[Member]:
    """Every session that has a record, by name."""
    records = {path: _record(path) for path in sorted(output_dir.glob("sub-*/**/anat/sub-*_desc-haca3_qc.json"))}
    names = {f"sub-{str(record.get('subject', '')).removeprefix('sub-')}" for record in records.values()}
    people = read_participants(bids_dir / PARTICIPANTS, names).rows
    members = []
    for path, record in records.items():
        subject, session = str(record.get("subject", "")).removeprefix("sub-"), record.get("session") or ""
        if (subjects and subject not in subjects) or (sessions and session not in sessions):
            continue
        participant, label = f"sub-{subject}", f"ses-{session}" if session else ""
        groups = dict(people.get(participant, {})) | _from_sidecars(path) | {"session": label or NOT_KNOWN}
        members.append(Member(participant, label, record, groups))
    return members


def _record(path: Path) -> Record:
    """A session's record; where it cannot be read, one that says so."""
    content = read_json(path)
    if content is not None:
        return content
    entities, _, _ = parse_entities(path.name)
    reason = {
        "measure": "error",
        "grade": "fail",
        "sentence": f"{path.name} cannot be read: run the participant level again.",
    }
    quality = {"verdict": "fail", "reasons": [reason]}
    return {"subject": entities.get("sub"), "session": entities.get("ses"), "status": "failed", "quality": quality}


def cohort_notes(members: Sequence[Member], bids_dir: Path, column: str = "") -> list[str]:
    """Notes on the groups: problems of participants.tsv, and the number of sessions without a group.

    ``column`` is the column that defines the groups.
    """
    notes = list(read_participants(bids_dir / PARTICIPANTS, {member.participant for member in members}).warnings)
    names = {name for member in members for name in member.groups}
    site = next((name for name in names if name.casefold() == "site"), "site")
    for name in dict.fromkeys([site, *([column] if column else [])]):
        without = sum(member.groups.get(name, NOT_KNOWN) == NOT_KNOWN for member in members)
        if without:
            notes.append(f"{without} of {len(members)} sessions {'has' if without == 1 else 'have'} no {name}.")
    return notes


def group_columns(members: Sequence[Member]) -> list[str]:
    """Columns that can colour the sessions: those with at least two groups, but not a group per person."""
    columns = dict.fromkeys([*PREFERRED, *(key for member in members for key in member.groups)])
    kept = []
    for column in columns:
        values = {member.groups.get(column, NOT_KNOWN) for member in members}
        if len(values) <= MOST_GROUPS and (len(values) > 1 or len(members) == 1) and values != {NOT_KNOWN}:
            kept.append(column)
    return kept


def chosen_column(columns: Sequence[str], wanted: str) -> str:
    """The requested column, else the first of the usual ones that distinguishes sessions."""
    if wanted:
        return wanted
    usual = (column for name in PREFERRED for column in columns if column.casefold() == name)
    return next(usual, columns[0] if columns else "")


def _from_sidecars(record_path: Path) -> dict[str, str]:
    """Scanner data from the sidecar of the first preprocessed image."""
    sidecar = next(iter(sorted(record_path.parent.glob("*_desc-preproc_*.json"))), None)
    content = read_object(sidecar)[0] if sidecar else {}
    found = {name: str(content[key]) for name, key in SIDECAR_GROUPS.items() if content.get(key) is not None}
    if "field" in found:
        found["field"] += " T"
    return found | ({"scanner": " ".join(found.values())} if found else {})
