"""Rounds of a few sessions: only those being processed are locked."""

import resource
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from haca3_bids.bids.atomic import locked
from haca3_bids.bids.discover import Session
from haca3_bids.errors import Haca3Error, TemporaryFailure
from haca3_bids.execution.outcome import FAILED, Outcome

SESSIONS_A_PROCESS = 8  # in one round: enough to keep the processes busy until its last session
MOST_SESSIONS = 1000
SHARE_OF_FILES = 4  # each lock is an open file, and a run opens others as well


@dataclass(frozen=True)
class Part:
    """Sessions that are processed together, and the locks of all that they write."""

    sessions: tuple[Session, ...]
    locks: tuple[str, ...]


def parts_of(sessions: Iterable[Session], sharing: Collection[str] = ()) -> list[Part]:
    """Each session by itself, except that sessions of subjects in ``sharing``, which share a frame, stay together."""
    together: dict[str, list[Session]] = {}
    for session in sessions:
        frame = f"frame-sub-{session.subject}" if session.subject in sharing else ""
        together.setdefault(frame or session.name, []).append(session)
    return [
        Part(tuple(own), tuple(dict.fromkeys([name, *(session.name for session in own)])))
        for name, own in together.items()
    ]


def sessions_at_once(processes: int | None) -> int:
    """The number of sessions in a round; for None (a cluster) as many as this process may lock."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    most = MOST_SESSIONS if files == resource.RLIM_INFINITY else min(MOST_SESSIONS, max(1, files // SHARE_OF_FILES))
    return most if processes is None else min(most, SESSIONS_A_PROCESS * processes)


def in_rounds(
    output_dir: Path, parts: Sequence[Part], size: int, work: Callable[[list[Session]], list[Outcome] | None]
) -> list[Outcome]:
    """The outcomes of ``work``, which is called with a few sessions at a time while their locks are held.

    Those locked by another process are tried again after all others; if they are still locked, they fail.
    ``work`` returns None to stop; the remaining sessions then have no outcome.
    """
    outcomes: list[Outcome] = []
    held: list[tuple[Part, Haca3Error]] = []
    for last in (False, True):
        waiting = [part for part, _ in held] if last else list(parts)
        held = []
        for few in _few_at_a_time(waiting, size):
            with ExitStack() as stack:
                free, others = _lock(output_dir, few, stack)
                held += others
                found = work(free) if free else []
            if found is None:
                return outcomes
            outcomes += found
    return outcomes + [_held(session, error) for part, error in held for session in part.sessions]


def _few_at_a_time(parts: Iterable[Part], size: int) -> Iterator[list[Part]]:
    """The parts, as many at a time as have ``size`` sessions, but at least one."""
    few: list[Part] = []
    for part in parts:
        if few and sum(len(one.sessions) for one in (*few, part)) > size:
            yield few
            few = []
        few.append(part)
    if few:
        yield few


def _lock(
    output_dir: Path, parts: Iterable[Part], stack: ExitStack
) -> tuple[list[Session], list[tuple[Part, Haca3Error]]]:
    """The sessions that are locked now, and the parts that could not be locked, with the error."""
    free: list[Session] = []
    others: list[tuple[Part, Haca3Error]] = []
    for part in parts:
        with ExitStack() as own:
            try:
                for name in part.locks:
                    own.enter_context(locked(output_dir, name, patience_s=0))
            except Haca3Error as error:
                others.append((part, error))
            else:
                free += part.sessions
                stack.enter_context(own.pop_all())
    return free, others


def _held(session: Session, error: Haca3Error) -> Outcome:
    waiting = isinstance(error, TemporaryFailure)
    return Outcome(session.name, FAILED, "waiting for its lock" if waiting else "locking it", error)
