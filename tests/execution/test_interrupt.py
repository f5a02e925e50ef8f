"""Stopping a run: no interrupt is lost, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from haca3_bids.bids.discover import Session
from haca3_bids.bids.leftovers import partial_folder
from haca3_bids.execution.interrupt import Terminated, Warned, stoppable


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated), (signal.SIGUSR1, Warned)]
)
def test_an_interrupt_that_a_destructor_swallowed_comes_again(number: int, error: type[KeyboardInterrupt]) -> None:
    class Deaf:
        def __del__(self) -> None:
            os.kill(os.getpid(), number)  # python reports an exception raised in here and goes on

    def work() -> None:
        Deaf()
        deadline = time.monotonic() + 600  # far longer than any machine takes
        while time.monotonic() < deadline:
            time.sleep(0.05)

    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt) as caught, stoppable():
        work()
    assert caught.type is error
    assert signal.getsignal(number) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("number", "code", "engine"),
    [(signal.SIGTERM, 143, "sleeps"), (signal.SIGINT, 130, "sleeps"), (signal.SIGTERM, 143, "slow to end")],
)
def test_a_run_that_is_told_to_end_leaves_no_process_and_no_image(
    app: Callable[..., int],
    out: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    code: int,
    engine: str,
) -> None:
    monkeypatch.setenv("FAKE_ENGINE", engine)
    monkeypatch.setenv("FAKE_APART", "yes")
    half_written = partial_folder(out, Session("02", None, {}))

    def stop_when_it_sleeps() -> None:
        while not list(tmp_path.rglob("asleep")):
            time.sleep(0.1)
        half_written.mkdir()
        os.kill(os.getpid(), number)

    watcher = threading.Thread(target=stop_when_it_sleeps)
    watcher.start()
    assert app("--participant-label", "02") == code
    watcher.join()
    assert engines() == []
    assert not list(out.rglob("*.nii.gz"))
    assert not half_written.exists()


def engines() -> list[int]:
    """Processes of the stand-in engine that this test's process started."""
    children = psutil.Process().children(recursive=True)
    found = []
    for child in children:
        with suppress(psutil.Error):
            if any("fake_engine" in word for word in child.cmdline()):
                found.append(child.pid)
    return found
