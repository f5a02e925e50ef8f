"""The demonstration session for real: docker, Apptainer and Boutiques, each from the scan to a valid dataset."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from apptainer_engine import Apptainer
from docker_engine import HARD, MEASURED, Engine

from haca3_bids.bids.validate import run_validator

pytestmark = [pytest.mark.container, pytest.mark.slow]

DESCRIPTOR = Path(__file__).resolve().parents[2] / "boutiques.json"
SESSION = "sub-01/ses-siteA"
STEM = "sub-01_ses-siteA_space-MNI152NLin2009aSym_res-1"
# What makes it cheap: a coarse registration, and the median of the orientations in place of the fusion network.
CHEAP = ("--template", "builtin", "--sloppy", "--fusion-weights", "median", "--omp-nthreads", "2")


def writable(folder: Path) -> Path:
    folder.mkdir()
    folder.chmod(0o777)
    return folder


def check_outputs(out: Path) -> None:
    anat = out / SESSION / "anat"
    assert (out / "sub-01.html").stat().st_size > 10_000
    for description in ("desc-preproc", "desc-haca3"):
        assert (anat / f"{STEM}_{description}_T1w.nii.gz").stat().st_size > 1_000_000
    sidecar = json.loads((anat / f"{STEM}_desc-haca3_T1w.json").read_text())
    assert sidecar["WhiteMatterPeak"] > 0
    issues = run_validator(out)
    assert issues is not None
    assert [issue for issue in issues if issue["severity"] == "error"] == []


@pytest.fixture(scope="module")
def docker_out(engine: Engine, image: str, dataset: Path, shelf: Path) -> Path:
    """What the session's run by docker wrote; it ended with 0."""
    out = writable(shelf / "docker")
    words = ("participant", "--participant-label", "01", *CHEAP)
    begun = time.monotonic()
    done = engine(
        "run", "--rm", *HARD, "-v", f"{dataset}:/data:ro", "-v", f"{out}:/out", image, "/data", "/out", *words
    )
    MEASURED["one T1w with docker"] = f"{time.monotonic() - begun:.0f} s ({shlex.join(CHEAP)})"
    assert "could not be run" not in done.stdout + done.stderr  # the validator of the input
    return out


def test_docker_makes_a_valid_dataset_of_the_demonstration(docker_out: Path) -> None:
    check_outputs(docker_out)


def test_one_broken_scan_gives_1_and_leaves_the_finished_session_alone(
    engine: Engine, image: str, dataset: Path, docker_out: Path
) -> None:
    image_file = docker_out / SESSION / "anat" / f"{STEM}_desc-haca3_T1w.nii.gz"
    before = image_file.stat().st_mtime_ns
    mounts = ("-v", f"{dataset}:/data:ro", "-v", f"{docker_out}:/out")
    done = engine("run", "--rm", *HARD, *mounts, image, "/data", "/out", "participant", *CHEAP, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "sub-02" in done.stdout + done.stderr
    assert image_file.stat().st_mtime_ns == before


def test_apptainer_makes_a_valid_dataset_as_an_ordinary_user(
    apptainer: Apptainer, sif: Path, dataset: Path, shelf: Path
) -> None:
    out, scratch = writable(shelf / "apptainer"), writable(shelf / "scratch")
    binds = ("-B", f"{dataset}:/data:ro", "-B", f"{out}:/out", "-B", f"{scratch}:/tmp")
    words = ("/data", "/out", "participant", "--participant-label", "01", *CHEAP)
    begun = time.monotonic()
    apptainer("run", "--containall", "--cleanenv", "--net", "--network", "none", *binds, str(sif), *words)
    MEASURED["one T1w with apptainer"] = f"{time.monotonic() - begun:.0f} s"
    check_outputs(out)


def test_bosh_launches_the_demonstration(engine: Engine, image: str, dataset: Path, shelf: Path) -> None:
    task = writable(shelf / "bosh")
    invocation = {
        "InputDataset": str(dataset),
        "OutputLocation": "out",
        "AnalysisLevel": "participant",
        "ParticipantLabel": ["01"],
        "Template": "builtin",
        "Sloppy": True,
        "FusionWeights": "median",
        "OmpNthreads": 2,
    }
    (task / "invocation.json").write_text(json.dumps(invocation))
    bosh = [str(Path(sys.executable).with_name("bosh")), "exec", "launch", "--no-pull", "--skip-data-collection"]
    command = [*bosh, "--user", str(DESCRIPTOR), "invocation.json"]
    environment = os.environ | {"DOCKER_HOST": engine.socket}
    begun = time.monotonic()
    done = subprocess.run(command, cwd=task, env=environment, capture_output=True, text=True)
    MEASURED["one T1w with bosh"] = f"{time.monotonic() - begun:.0f} s"
    assert done.returncode == 0, done.stdout + done.stderr
    check_outputs(task / "out")


def test_bosh_runs_the_descriptor_s_own_test_of_an_exit_code(
    engine: Engine, image: str, dataset: Path, tmp_path: Path
) -> None:
    descriptor = json.loads(DESCRIPTOR.read_text())
    descriptor["tests"] = [test for test in descriptor["tests"] if test["assertions"]["exit-code"]]
    assert len(descriptor["tests"]) == 1
    (tmp_path / "descriptor.json").write_text(json.dumps(descriptor))
    shutil.copytree(dataset, tmp_path / "demo/bids")
    command = [str(Path(sys.executable).with_name("bosh")), "test", "descriptor.json"]
    environment = os.environ | {"DOCKER_HOST": engine.socket}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
