"""Clean termination: an interrupted run leaves no process behind."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

PATIENCE_S = 5.0
AGAIN_S = 1.0


class Terminated(KeyboardInterrupt):
    """SIGTERM was received: batch systems and container engines send it before SIGKILL."""

    exit_code = 128 + signal.SIGTERM


class Warned(Terminated):
    """SIGUSR1 was received, which Slurm sends some time before the end of a job: ``sbatch --signal=B:USR1@60``."""

    exit_code = 128 + signal.SIGUSR1


@contextmanager
def stoppable() -> Iterator[None]:
    """Within the block, SIGTERM and SIGUSR1 raise Terminated; an interrupt stops all child processes."""
    raised = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated, signal.SIGUSR1: Warned}
    signals = *raised, signal.SIGALRM
    before = [signal.getsignal(number) for number in signals]
    try:
        for number, error in raised.items():
            signal.signal(number, _raiser(error))
    except ValueError:  # signals only reach the main thread
        yield
        return
    try:
        yield
    except KeyboardInterrupt:
        stop_children()
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _raiser(error: type[KeyboardInterrupt]) -> Callable[[int, FrameType | None], None]:
    """A handler that raises ``error`` every second, because an exception raised inside a callback is lost."""

    def handler(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
        raise error

    return handler


def not_again() -> None:
    """The interrupt is not raised again, since cleaning up after it can take longer than AGAIN_S."""
    signal.setitimer(signal.ITIMER_REAL, 0)


def stop_children() -> None:
    """Terminate all descendants of this process, and kill those that have not ended after PATIENCE_S."""
    import psutil

    not_again()
    children = psutil.Process().children(recursive=True)
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.terminate()
    _, alive = psutil.wait_procs(children, timeout=PATIENCE_S)
    for child in alive:
        with suppress(psutil.NoSuchProcess):
            child.kill()
