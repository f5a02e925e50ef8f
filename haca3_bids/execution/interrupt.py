"""Stopping cleanly: a job that is told to end leaves no process behind."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

PATIENCE_S = 5.0
AGAIN_S = 1.0


class Terminated(KeyboardInterrupt):
    """SIGTERM came, as batch systems and container engines send it before they kill."""

    exit_code = 128 + signal.SIGTERM


class Warned(Terminated):
    """SIGUSR1 came, as Slurm sends it some time before the end: ``sbatch --signal=B:USR1@60``."""

    exit_code = 128 + signal.SIGUSR1


@contextmanager
def stoppable() -> Iterator[None]:
    """While the block runs, SIGTERM and SIGUSR1 raise Terminated; left by an interrupt, it stops all children."""
    raised = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated, signal.SIGUSR1: Warned}
    signals = *raised, signal.SIGALRM
    before = [signal.getsignal(number) for number in signals]
    try:
        for number, error in raised.items():
            signal.signal(number, _raiser(error))
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
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _raiser(error: type[KeyboardInterrupt]) -> Callable[[int, FrameType | None], None]:
    """A handler that raises ``error`` every second until it is heeded: raised inside a callback, it is lost."""

    def handler(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
        raise error

    return handler


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
