"""kill -9 at random moments: of a worker, of the process of the networks, of the run itself.

Nothing hangs, the exit code is true, nothing half-written counts as done, and a second run ends with the outputs of
an undisturbed one, bit for bit.
"""

from __future__ import annotations

import os
import random
import time

import psutil
import pytest
from runs import FULL, PATIENCE_S, Run, alive, family, fingerprints, networks, wait_for, workers

MOMENTS = range(10 if FULL else 1)
RUN_S = 4.0  # what a run takes, about: the parent is killed at any moment of it
STEP_S = 1.0
pytestmark = pytest.mark.slow


def is_true(code: int, run: Run) -> bool:
    """0 only where every session is done, and never where one failed."""
    states = {name: record["status"] for name, record in run.records().items()}
    everything = states == {"sub-01": "done", "sub-02": "done"}
    return everything if code == 0 else code in (1, 75) and not everything and f"Exit code {code}." in run.said


def second_run_equals(run: Run, undisturbed: dict[str, str]) -> None:
    assert run.finish() == 0, run.said
    assert fingerprints(run.out) == undisturbed
    assert not [path for path in run.out.rglob(".*") if path.name not in (".bidsignore", ".gitignore")]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_worker_ends_no_run(run: Run, undisturbed: dict[str, str], moment: int) -> None:
    chance = random.Random(f"worker {moment}")
    with run.started() as process:
        wait_for(workers, process)
        time.sleep(chance.uniform(0, RUN_S))
        victims = workers(process)
        if victims:
            chance.choice(victims).kill()
        code = process.wait(timeout=PATIENCE_S)
    assert is_true(code, run), run.said
    assert code == 0, run.said  # the step was tried once more
    second_run_equals(run, undisturbed)


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_networks_fail_their_session_and_no_other(run: Run, undisturbed: dict[str, str], moment: int) -> None:
    chance = random.Random(f"networks {moment}")
    with run.started() as process:
        victim = chance.choice(wait_for(networks, process))
        time.sleep(chance.uniform(0, STEP_S / 2))
        victim.kill()
        code = process.wait(timeout=PATIENCE_S)
    assert is_true(code, run), run.said
    assert code == 1, run.said
    assert "was killed (signal 9)" in run.said
    second_run_equals(run, undisturbed)


@pytest.mark.parametrize("moment", MOMENTS)
def test_of_a_killed_run_no_process_and_no_lock_is_left(run: Run, undisturbed: dict[str, str], moment: int) -> None:
    chance = random.Random(f"run {moment}")
    with run.started() as process:
        time.sleep(chance.uniform(1, 1 + RUN_S))
        everyone = family(process)
        process.kill()
        assert alive(everyone) == []
    done = [name for name, record in run.records().items() if record["status"] == "done"]
    second_run_equals(run, undisturbed)
    assert all(f"{name}: finished by an earlier run" in run.said for name in done)


def test_the_networks_end_with_their_worker(run: Run) -> None:
    with run.started(FAKE_ENGINE="sleeps") as process:
        engine, *_ = wait_for(networks, process)
        psutil.Process(engine.ppid()).kill()
        assert alive([engine]) == []
        os.kill(process.pid, 15)
        assert process.wait(timeout=10) == 143
