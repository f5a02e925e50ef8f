"""Stopping a run: no interrupt is lost."""

from __future__ import annotations

import os
import signal
import time

import pytest

from haca3_bids.execution.interrupt import Terminated, stoppable


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_an_interrupt_that_a_destructor_swallowed_comes_again(number: int, error: type[KeyboardInterrupt]) -> None:
    class Deaf:
        def __del__(self) -> None:
            os.kill(os.getpid(), number)  # python reports an exception raised in here and goes on

    def work() -> None:
        Deaf()
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            time.sleep(0.05)

    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt) as caught, stoppable():
        work()
    assert caught.type is error
    assert signal.getsignal(number) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
