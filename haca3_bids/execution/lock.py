"""The sessions of a run in rounds of a few subjects: only what is being worked on is locked."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from haca3_bids.bids.atomic import locked
from haca3_bids.bids.discover import Session
from haca3_bids.errors import Haca3Error, TemporaryFailure
from haca3_bids.execution.outcome import FAILED, Outcome

SUBJECTS_A_PROCESS = 8  # in one round: enough that few processes idle while the last session of a round is done
MOST_SUBJECTS = 1000
SHARE_OF_FILES = 4  # every lock is an open file, and a run needs files for other things


@dataclass(frozen=True)
class Part:
    """The sessions of one subject."""

    subject: str
    sessions: tuple[Session, ...]


def parts_of(sessions: Sequence[Session]) -> list[Part]:
    """The sessions by subject, in the order in which they are named first."""
    subjects = dict.fromkeys(session.subject for session in sessions)
    return [Part(one, tuple(session for session in sessions if session.subject == one)) for one in subjects]


def subjects_at_once(processes: int | None) -> int:
    """How many subjects make a round; None: as many as this process may lock, for a cluster takes them all."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    most = MOST_SUBJECTS if files == resource.RLIM_INFINITY else min(MOST_SUBJECTS, max(1, files // SHARE_OF_FILES))
    return most if processes is None else min(most, SUBJECTS_A_PROCESS * processes)


def in_rounds(
    output_dir: Path, parts: Sequence[Part], size: int, work: Callable[[list[Part]], list[Outcome] | None]
) -> list[Outcome]:
    """What ``work`` says of the sessions, given a few subjects at a time, whose locks are held meanwhile.

    Subjects that another process holds are tried again when all others are done; if they are still held, their
    sessions have failed for now. ``work`` returns None to end the rounds: nothing is said of the rest.
    """
    outcomes: list[Outcome] = []
    held: list[tuple[Part, Haca3Error]] = []
    for last in (False, True):
        waiting = [part for part, _ in held] if last else list(parts)
        held = []
        for some in _few(waiting, size):
            with ExitStack() as stack:
                free, others = _lock(output_dir, some, stack)
                held += others
                found = work(free) if free else []
            if found is None:
                return outcomes
            outcomes += found
    return outcomes + [_held(session, error) for part, error in held for session in part.sessions]


def _few(parts: Sequence[Part], size: int) -> Iterator[Sequence[Part]]:
    return (parts[start : start + size] for start in range(0, len(parts), size))


def _lock(
    output_dir: Path, parts: Sequence[Part], stack: ExitStack
) -> tuple[list[Part], list[tuple[Part, Haca3Error]]]:
    """The subjects whose locks are held from now on, and those whose locks cannot be had."""
    free: list[Part] = []
    others: list[tuple[Part, Haca3Error]] = []
    for part in parts:
        try:
            stack.enter_context(locked(output_dir, f"sub-{part.subject}", patience_s=0))
            free.append(part)
        except Haca3Error as error:
            others.append((part, error))
    return free, others


def _held(session: Session, error: Haca3Error) -> Outcome:
    waiting = isinstance(error, TemporaryFailure)
    return Outcome(session.name, FAILED, "waiting for its lock" if waiting else "locking its subject", error)
