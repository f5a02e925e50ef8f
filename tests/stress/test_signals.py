"""A run that is told to end, by SIGTERM or Slurm's SIGUSR1, does so soon and cleanly, and the next one goes on."""

from __future__ import annotations

import random
import signal
import time

import pytest
from runs import FULL, Run, alive, family, fingerprints, networks, wait_for

pytestmark = pytest.mark.slow
END_S = 10.0
CODES = {signal.SIGTERM: 143, signal.SIGUSR1: 138, signal.SIGINT: 130}
MOMENTS = range(5 if FULL else 1)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_a_run_that_is_told_to_end_ends_soon_and_the_next_goes_on(
    run: Run, undisturbed: dict[str, str], number: signal.Signals, moment: int
) -> None:
    chance = random.Random(f"{number.name} {moment}")
    with run.started() as process:
        assert wait_for(networks, process)
        time.sleep(chance.uniform(0, 3))
        everyone = family(process)
        told = time.monotonic()
        process.send_signal(number)
        code = process.wait(timeout=60)
        took = time.monotonic() - told
        assert alive(everyone) == []
    assert took < END_S
    ends = {CODES[number]} if "interrupted" in run.said else {0, -number}  # the latter: after all was done
    assert code in ends, run.said
    assert "Traceback" not in run.said
    assert not [path for path in run.out.rglob(".*") if path.name not in (".bidsignore", ".gitignore")]
    assert list((run.folder / "tmp").iterdir()) == []
    done = [name for name, record in run.records().items() if record["status"] == "done"]
    assert run.finish() == 0, run.said
    assert all(f"{name}: finished by an earlier run" in run.said for name in done)
    assert fingerprints(run.out) == undisturbed
