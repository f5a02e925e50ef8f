"""All sessions of a derivatives dataset for the group level, from records and sidecars; no image is read."""

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from haca3_bids.bids.discover import chosen_labels
from haca3_bids.bids.lenient import read_object
from haca3_bids.bids.names import parse_entities
from haca3_bids.bids.participants import Participants, read_participants, read_sessions
from haca3_bids.bids.record import read_session
from haca3_bids.errors import Failure
from haca3_bids.records.engine import SourceReport
from haca3_bids.records.session import Numbers, Quality, SessionRecord

LOGGER = logging.getLogger("haca3_bids")
RECORDS = "sub-*_desc-haca3_qc.json"
SIDECAR_GROUPS = {"manufacturer": "Manufacturer", "model": "ManufacturersModelName", "field": "MagneticFieldStrength"}
MOST_GROUPS = 60  # of one column: more tell people apart, not scanners
PARTICIPANTS = "participants.tsv"
DATES = "acq_time"  # column of sessions.tsv that is not shown
MOST_NOTES = 3  # on files sessions.tsv, of which each participant may have one
NOT_KNOWN = "n/a"
PREFERRED = ("site", "scanner", "session")  # by which is coloured where nobody says


@dataclass(frozen=True)
class Member:
    """One session: its names, its record, and its groups by column."""

    participant: str  # sub-01
    session: str  # ses-1, or ""
    record: SessionRecord
    groups: Mapping[str, str]

    @property
    def name(self) -> str:
        """The name as accepted by --target: ``sub-01_ses-1``."""
        return "_".join(filter(None, (self.participant, self.session)))

    @property
    def sources(self) -> Mapping[str, SourceReport]:
        """Theta, eta and attention of each source."""
        return self.record.harmonization.sources

    def numbers(self) -> Iterator[tuple[str, str, Numbers]]:
        """Kind ("session", "scan" or "image"), contrast or target, and quality numbers."""
        return ((kind, where or "session", own) for kind, where, own in self.record.quality.places())


def read_cohort(
    output_dir: Path, bids_dir: Path, subjects: Sequence[str] = (), sessions: Sequence[str] = ()
) -> list[Member]:
    """All sessions that have a record, sorted by path; NothingSelected if a requested subject has none."""
    records = {path: session_record(path) for path in sorted(output_dir.glob(f"sub-*/**/anat/{RECORDS}"))}
    names = {f"sub-{record.subject}" for record in records.values()}
    if records:
        with_results(output_dir, bids_dir, sorted({record.subject for record in records.values()}), subjects)
    people = read_participants(bids_dir / PARTICIPANTS, names).rows
    visits = read_visits(bids_dir, records.values())
    members = []
    for path, record in records.items():
        subject, session = record.subject, record.session or ""
        if (subjects and subject not in subjects) or (sessions and session not in sessions):
            continue
        participant, label = f"sub-{subject}", f"ses-{session}" if session else ""
        own = {key: value for key, value in visits[participant].rows.get(label, {}).items() if key != DATES}
        groups = {**people.get(participant, {}), **own, **_from_sidecars(path), "session": label or NOT_KNOWN}
        members.append(Member(participant, label, record, groups))
    return members


def read_visits(bids_dir: Path, records: Iterable[SessionRecord]) -> dict[str, Participants]:
    """For each participant, the columns of the sessions in ``sessions.tsv``, such as their sites."""
    known: dict[str, set[str]] = {}
    for record in records:
        labels = known.setdefault(f"sub-{record.subject}", set())
        labels |= {f"ses-{record.session}"} if record.session else set()
    return {name: read_sessions(bids_dir / name / f"{name}_sessions.tsv", known[name]) for name in sorted(known)}


def with_results(output_dir: Path, bids_dir: Path, found: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The labels in ``found`` that are wanted, or all; NothingSelected for one that the dataset does not have either.

    Participants of the dataset without results, such as those without a usable image, are only a warning.
    """
    lacking = [label for label in wanted if label not in found and (bids_dir / f"sub-{label}").exists()]
    if lacking:
        LOGGER.warning(
            "%s has no results of %s.", output_dir.resolve().name, ", ".join(f"sub-{one}" for one in lacking)
        )
    rest = [label for label in wanted if label not in lacking]
    return [] if wanted and not rest else chosen_labels(output_dir, found, rest)


def session_record(path: Path) -> SessionRecord:
    """The record of a session, or a record of the failure to read it."""
    record = read_session(path)
    if record is not None:
        return record
    entities, _, _ = parse_entities(path.name)
    failure = Failure(f"{path.name} cannot be read: run the participant level again.")
    quality = Quality.failed(failure.sentence)
    return SessionRecord(entities.get("sub", ""), entities.get("ses"), error=failure, quality=quality)


def cohort_notes(members: Sequence[Member], bids_dir: Path, column: str = "") -> list[str]:
    """Notes on the groups: problems of participants.tsv and sessions.tsv, and the number of sessions without a group.

    ``column`` is the column that defines the groups.
    """
    notes = list(read_participants(bids_dir / PARTICIPANTS, {member.participant for member in members}).warnings)
    visits = read_visits(bids_dir, [member.record for member in members])
    problems = [warning for own in visits.values() for warning in own.warnings]
    notes += problems[:MOST_NOTES]
    if len(problems) > MOST_NOTES:
        notes.append(f"There are {len(problems) - MOST_NOTES} more problems of this kind in files sessions.tsv.")
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
        with contextlib.suppress(ValueError):
            found["field"] = f"{float(found['field']):g}"  # 3 and 3.0 are one scanner
        found["field"] += " T"
    return found | ({"scanner": " ".join(found.values())} if found else {})
