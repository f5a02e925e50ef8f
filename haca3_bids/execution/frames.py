"""Which sessions share a frame under ``--longitudinal``, and what that means for what counts as finished."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from haca3_bids.bids.discover import Session
from haca3_bids.bids.record import input_sha256
from haca3_bids.digest import short_digest
from haca3_bids.settings import Settings

Visits = Mapping[str, tuple[Session, ...]]  # by subject, in the order of their names


def shared_frames(sessions: Sequence[Session], settings: Settings) -> Visits:
    """The sessions of every subject that has more than one of them, if a common frame is asked for."""
    if not settings.preprocessing.longitudinal:
        return {}
    subjects = dict.fromkeys(session.subject for session in sessions)
    visits = {subject: _visits_of(subject, sessions) for subject in subjects}
    return {subject: own for subject, own in visits.items() if len(own) > 1}


def with_visits(fingerprint: str, visits: Sequence[Session], output_dir: Path) -> str:
    """The fingerprint with the references that made the frame: one visit more, and all are to be done again."""
    if not visits:
        return fingerprint
    files = {visit.name: input_sha256(output_dir, visit, visit.reference) for visit in visits}
    return short_digest(json.dumps([fingerprint, files], sort_keys=True))


def _visits_of(subject: str, sessions: Sequence[Session]) -> tuple[Session, ...]:
    return tuple(sorted((one for one in sessions if one.subject == subject), key=lambda one: one.name))
