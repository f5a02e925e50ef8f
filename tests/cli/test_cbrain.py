"""CBRAIN's habits: HOME is the task's folder, a wrapper in bash holds the command, the inputs are symbolic links."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import haca3_bids
from haca3_bids.volumes.volume import Volume, save_volume

PACKAGE = Path(haca3_bids.__file__).parent
PLAN = {"AnalysisLevel": "participant", "OutputLocation": "out", "Template": "builtin", "DryRun": True}
QUICK = {"SkipBidsValidation": True}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A dataset as it lies in the store of the portal, away from the task."""
    anat = tmp_path / "store/study/sub-01/anat"
    anat.mkdir(parents=True)
    (anat.parents[1] / "dataset_description.json").write_text(json.dumps({"Name": "study", "BIDSVersion": "1.9.0"}))
    (anat.parents[1] / "README").write_text("A study of one person, in the store of a portal that links to it.\n")
    ball = np.pad(np.ones((12, 12, 12), np.float32), 6) * 100
    save_volume(Volume(ball, np.diag([8.0, 8.0, 8.0, 1.0])), anat / "sub-01_T1w.nii.gz")
    return tmp_path / "store/study"


@pytest.fixture
def task(tmp_path: Path, store: Path) -> Path:
    """A task's folder: a dataset of one subject in which everything is a link."""
    made = tmp_path / "task/study"
    made.mkdir(parents=True)
    for name in ("dataset_description.json", "README", "sub-01"):
        (made / name).symlink_to(store / name)
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    shim = bin_folder / "haca3-bids"
    shim.write_text(f'#!/bin/sh\nPYTHONPATH={PACKAGE.parent} exec {sys.executable} -m haca3_bids.cli.app "$@"\n')
    shim.chmod(0o755)
    return tmp_path / "task"


def run(task: Path, invocation: dict[str, object]) -> subprocess.CompletedProcess[str]:
    """What the portal does: the command of ``bosh exec simulate`` in a wrapper, run by bash."""
    (task / "invocation.json").write_text(json.dumps(PLAN | invocation))
    bosh = [sys.executable, str(Path(sys.executable).with_name("bosh")), "exec", "simulate"]
    words = [*bosh, "-i", "invocation.json", str(PACKAGE.parent / "boutiques.json")]
    said = subprocess.run(words, cwd=task, capture_output=True, text=True, check=True).stdout
    (command,) = [line for line in said.splitlines() if "haca3-bids " in line and line.startswith("mkdir -p ")]
    (task / "wrapper.sh").write_text(f"#!/bin/bash\n{command}\n")
    environment = {"HOME": str(task), "PATH": f"{task.parent / 'bin'}{os.pathsep}{os.defpath}", "TMPDIR": str(task)}
    return subprocess.run(["bash", "./wrapper.sh"], cwd=task, env=environment, capture_output=True, text=True)


def test_inputs_that_are_links_are_found(task: Path) -> None:
    done = run(task, {"InputDataset": "study", "ParticipantLabel": ["01"]})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sub-01/anat/sub-01_T1w.nii.gz" in done.stdout


def test_a_dataset_that_is_one_link_is_found(task: Path, store: Path) -> None:
    (task / "linked").symlink_to(store)
    assert run(task, {"InputDataset": "linked"} | QUICK).returncode == 0


@pytest.mark.parametrize("gone", ["sub-01", "sub-01/anat/sub-01_T1w.nii.gz"])
def test_a_link_that_leads_nowhere_is_an_error(task: Path, store: Path, gone: str) -> None:
    (store / gone).rename(store.parent / "away")
    if gone != "sub-01":
        (store / gone).symlink_to(store / "nowhere.nii.gz")
    done = run(task, {"InputDataset": "study"} | QUICK)
    assert done.returncode == 65, done.stdout + done.stderr
    assert "is a broken link" in done.stdout + done.stderr


def test_a_dataset_that_is_a_link_that_leads_nowhere_is_an_error(task: Path) -> None:
    (task / "linked").symlink_to(task / "nowhere")
    done = run(task, {"InputDataset": "linked"} | QUICK)
    assert done.returncode not in (0, 1), done.stdout + done.stderr
