"""Disks, memory and inputs that fail during a run: a true exit code, a sentence, and a second run that ends well.

What needs a mount or a control group needs root.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from limits import limited_memory, small_disk
from runs import FULL, PATIENCE_S, Run, fingerprints, networks, wait_for, workers

pytestmark = pytest.mark.slow
ROOM_KB = 50_000
MOMENTS = range(10 if FULL else 2)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("place", ["out", "work", "tmp"])
def test_a_full_disk_is_named_and_nothing_half_written_counts(
    run: Run, undisturbed: dict[str, str], place: str, moment: int
) -> None:
    size_kb = random.Random(f"{place} {moment}").choice([16, 60, 150, 300, 450, 600])
    with small_disk(run.folder / place, size_kb) as remount:
        code = run.finish()
        states = [record["status"] for record in run.records().values()]
        assert code in (1, 73, 74) or states == ["done", "done"], run.said  # done, yet not 0: a page is lacking
        assert code == 0 or "No space left" in run.said
        assert "Traceback" not in run.said
        remount(f"size={ROOM_KB}k")
        assert run.finish() == 0, run.said
        assert fingerprints(run.out) == undisturbed


def test_an_output_that_becomes_read_only_is_named(run: Run, undisturbed: dict[str, str]) -> None:
    with small_disk(run.out, ROOM_KB) as remount:
        assert run.finish() == 0, run.said
        remount("ro")
        assert run.finish("--reprocess") in (73, 74), run.said
        assert "is not writable" in run.said
        assert "Traceback" not in run.said
        assert fingerprints(run.out) == undisturbed


def test_memory_that_runs_out_ends_one_session_and_not_the_run(run: Run, undisturbed: dict[str, str]) -> None:
    with limited_memory(run.folder.name, 900) as wrapper:
        hungry = Run(run.folder, run.bids, "quick", run.words, {"FAKE_ENGINE": "hungry for two"}, wrapper)
        assert hungry.finish() == 1, hungry.said
    assert "was killed (signal 9)" in hungry.said
    assert "It probably ran out of memory" in hungry.said
    assert {name: one["status"] for name, one in hungry.records().items()} == {"sub-01": "failed", "sub-02": "done"}
    assert run.finish() == 0, run.said
    assert fingerprints(run.out) == undisturbed


def test_memory_that_is_refused_is_told_as_such(run: Run) -> None:
    """A limit of addresses (ulimit -v), as some clusters set it: no process is killed."""
    wrapper = ["sh", "-c", 'ulimit -v 1700000; exec "$@"', "sh"]
    limited = Run(run.folder, run.bids, "quick", run.words, {"FAKE_ENGINE": "hungry for two"}, wrapper)
    assert limited.finish() == 1, limited.said
    assert "Memory ran out" in limited.said
    assert limited.records()["sub-02"]["status"] == "done"


@pytest.fixture
def copied(run: Run, heads: Path) -> Run:
    """A run on a copy of the dataset."""
    shutil.copytree(heads, run.folder / "raw")
    return Run(run.folder, run.folder / "raw", variables=run.variables)


@pytest.mark.parametrize("step", [workers, networks])
@pytest.mark.parametrize("change", [Path.unlink, lambda path: os.utime(path, (1, 1))])
def test_an_input_that_is_removed_or_changed_fails_its_session_and_no_other(
    copied: Run, step: Callable[[psutil.Process], list[psutil.Process]], change: Callable[[Path], None]
) -> None:
    scan = copied.bids / "sub-02/anat/sub-02_T1w.nii.gz"
    with copied.started() as process:
        assert wait_for(step, process)
        change(scan)
        code = process.wait(timeout=PATIENCE_S)
    assert code == 1, copied.said
    assert copied.records()["sub-01"]["status"] == "done"
    assert copied.records()["sub-02"]["status"] == "failed"
    assert "sub-02_T1w.nii.gz" in copied.said.partition("failed   sub-02")[2] or "was removed" in copied.said
    assert "Unexpected" not in copied.said


def test_an_input_that_is_removed_is_named_by_the_real_first_step(copied: Run) -> None:
    real = Run(copied.folder, copied.bids, "real", ("--skip-bids-validation", "--template", "builtin", "--nprocs", "1"))
    with real.started() as process:
        assert wait_for(workers, process)
        for scan in copied.bids.rglob("*.nii.gz"):
            scan.unlink()
        code = process.wait(timeout=2 * PATIENCE_S)
    assert code in (1, 65, 74), real.said
    assert "Unexpected" not in real.said
