"""Rounds of a few subjects: only those being processed are locked."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from haca3_bids.bids.atomic import locked
from haca3_bids.bids.discover import Session
from haca3_bids.errors import Haca3Error, TemporaryFailure
from haca3_bids.execution.outcome import FAILED, Outcome

SUBJECTS_A_PROCESS = 8  # in one round: enough to keep the processes busy until its last session
MOST_SUBJECTS = 1000
SHARE_OF_FILES = 4  # each lock is an open file, and a run opens others as well


Part = list[Session]  # the sessions of one subject


def parts_of(sessions: Iterable[Session]) -> list[Part]:
    """The sessions grouped by subject, in order of first appearance."""
    parts: dict[str, Part] = {}
    for session in sessions:
        parts.setdefault(session.subject, []).append(session)
    return list(parts.values())


def subjects_at_once(processes: int | None) -> int:
    """The number of subjects in a round; for None (a cluster) as many as this process may lock."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    most = MOST_SUBJECTS if files == resource.RLIM_INFINITY else min(MOST_SUBJECTS, max(1, files // SHARE_OF_FILES))
    return most if processes is None else min(most, SUBJECTS_A_PROCESS * processes)


def in_rounds(
    output_dir: Path, parts: Sequence[Part], size: int, work: Callable[[list[Part]], list[Outcome] | None]
) -> list[Outcome]:
    """The outcomes of ``work``, which is called with a few subjects at a time while their locks are held.

    Subjects locked by another process are tried again after all others; if they are still locked, their sessions fail.
    ``work`` returns None to stop; the remaining sessions then have no outcome.
    """
    outcomes: list[Outcome] = []
    held: list[tuple[Part, Haca3Error]] = []
    for last in (False, True):
        waiting = [part for part, _ in held] if last else list(parts)
        held = []
        for start in range(0, len(waiting), size):
            with ExitStack() as stack:
                free, others = _lock(output_dir, waiting[start : start + size], stack)
                held += others
                found = work(free) if free else []
            if found is None:
                return outcomes
            outcomes += found
    return outcomes + [_held(session, error) for part, error in held for session in part]


def _lock(
    output_dir: Path, parts: Sequence[Part], stack: ExitStack
) -> tuple[list[Part], list[tuple[Part, Haca3Error]]]:
    """The subjects that are locked now, and those that could not be locked, with the error."""
    free: list[Part] = []
    others: list[tuple[Part, Haca3Error]] = []
    for part in parts:
        try:
            stack.enter_context(locked(output_dir, f"sub-{part[0].subject}", patience_s=0))
            free.append(part)
        except Haca3Error as error:
            others.append((part, error))
    return free, others


def _held(session: Session, error: Haca3Error) -> Outcome:
    waiting = isinstance(error, TemporaryFailure)
    return Outcome(session.name, FAILED, "waiting for its lock" if waiting else "locking its subject", error)
