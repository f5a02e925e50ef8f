"""300 subjects with two sessions each: how long the App takes to see them, and to see that they are finished."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from fake_parts import make_dataset
from runs import Run

from haca3_bids.bids.record import stamp

pytestmark = pytest.mark.slow
SUBJECTS = [f"{number:03d}" for number in range(1, 301)]
SESSIONS = "1", "2"
FIRST = "sub-001_ses-1"
NAMES = [f"sub-{subject}_ses-{session}" for subject in SUBJECTS for session in SESSIONS]
DRY_S, DRY_MB, FINISHED_S = 20, 500, 60


@dataclass(frozen=True)
class Took:
    """What a process took, with all that it waited for; memory is that of the largest one."""

    code: int
    seconds: float
    processor_s: float
    memory_mb: float


MEASURED = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(sys.argv[1], "w") as file:
    print(code, used.ru_utime + used.ru_stime, used.ru_maxrss / 1000, file=file)
"""


def took(run: Run, *words: str) -> Took:
    """Run the App from a small process: Linux counts the memory of whoever starts a process as that of the process."""
    run.folder.mkdir(exist_ok=True)
    result = run.folder / "took.txt"
    begun = time.monotonic()
    with (run.folder / "said.txt").open("w") as said:
        command = [sys.executable, "-c", MEASURED, str(result), *run.command(*words)]
        subprocess.run(command, env={**os.environ, **run.variables}, stdout=said, stderr=said, check=True)
    code, processor_s, memory_mb = result.read_text().split()
    return Took(int(code), time.monotonic() - begun, float(processor_s), float(memory_mb))


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset in which all images are links to one and the same."""
    raw = make_dataset(tmp_path_factory.mktemp("many") / "raw", {FIRST: ("T1w", "T2w")})
    for name in NAMES[1:]:
        folder = raw.joinpath(*name.split("_"), "anat")
        folder.mkdir(parents=True)
        for contrast in ("T1w", "T2w"):
            scan = raw.joinpath(*FIRST.split("_"), "anat", f"{FIRST}_{contrast}.nii.gz")
            (folder / f"{name}_{contrast}.nii.gz").hardlink_to(scan)
    return raw


def test_a_dry_run_is_short_and_small(many: Path, tmp_path: Path) -> None:
    run = Run(tmp_path, many, "real", ("--template", "builtin"))
    used = took(run, "--dry-run")
    assert used.code == 0, run.said
    assert run.said.count("reference  sub-") == len(NAMES)
    assert used.processor_s < DRY_S, used
    assert used.memory_mb < DRY_MB, used


def finish_all(run: Run) -> None:
    """The outputs of the first session, as if every session had them."""
    first = run.out.joinpath(*FIRST.split("_"))
    for name in NAMES[1:]:
        subject, session = name.split("_")
        folder = run.out / subject / session / "anat"
        shutil.copytree(first / "anat", folder)
        for path in list(folder.iterdir()):
            path.rename(folder / path.name.replace(FIRST, name))
        figures = run.out / subject / "figures"
        figures.mkdir(exist_ok=True)
        for path in (first.parent / "figures").glob(f"{FIRST}_*"):
            shutil.copy(path, figures / path.name.replace(FIRST, name))
        record = folder / f"{name}_desc-haca3_qc.json"
        text = record.read_text().replace(FIRST, name).replace("sub-001/ses-1", f"{subject}/{session}")
        content = json.loads(text.replace("sub-001/figures", f"{subject}/figures"))
        content |= {"subject": subject[4:], "session": session[4:]}
        scans = {one: run.bids / subject / session / f"anat/{name}_{one}.nii.gz" for one in ("T1w", "T2w")}
        content["completion"]["stamps"] = {one: stamp(path) for one, path in scans.items()}
        record.write_text(json.dumps(content))


def test_a_run_on_finished_sessions_is_short(many: Path, tmp_path: Path) -> None:
    run = Run(tmp_path, many, words=("--skip-bids-validation", "--nprocs", "2"))
    assert run.finish("--participant-label", "001", "--session-label", "1") == 0, run.said
    finish_all(run)
    used = took(run)
    assert used.code == 0, run.said
    assert f"0 done, {len(NAMES)} skipped, 0 failed" in run.said
    assert used.processor_s < FINISHED_S, used
