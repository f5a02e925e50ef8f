"""Stopping cleanly: a job that is told to end leaves no process behind."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

PATIENCE_S = 5.0
AGAIN_S = 1.0


class Terminated(KeyboardInterrupt):
    """SIGTERM came, as batch systems and container engines send it before they kill."""


@contextmanager
def stoppable() -> Iterator[None]:
    """While the block runs, SIGTERM raises Terminated; when it is left by an interrupt, all children are stopped."""
    try:
        before = signal.signal(signal.SIGTERM, _raise), signal.signal(signal.SIGALRM, _raise)
    except ValueError:  # not in the main thread, where no signal arrives
        yield
        return
    try:
        yield
    except KeyboardInterrupt:
        signal.setitimer(signal.ITIMER_REAL, 0)
        stop_children()
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGALRM, before[1])


def _raise(_number: int, _frame: FrameType | None) -> None:
    signal.setitimer(signal.ITIMER_REAL, AGAIN_S)  # raised inside a callback, the exception is lost: then once more
    raise Terminated


def stop_children() -> None:
    """Terminate every process that this one started, directly or not; kill those that do not heed it."""
    import psutil

    children = psutil.Process().children(recursive=True)
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.terminate()
    _, alive = psutil.wait_procs(children, timeout=PATIENCE_S)
    for child in alive:
        with suppress(psutil.NoSuchProcess):
            child.kill()
