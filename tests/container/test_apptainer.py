"""The image as a SIF file, run by an ordinary user."""

from __future__ import annotations

from pathlib import Path

import pytest
from apptainer_engine import Apptainer

from haca3_bids import __version__

pytestmark = [pytest.mark.container, pytest.mark.slow]

APART = ("--containall", "--cleanenv", "--net", "--network", "none")


def test_run_and_exec_find_both_commands(apptainer: Apptainer, sif: Path) -> None:
    assert apptainer("run", *APART, str(sif), "--version").stdout == f"haca3-bids {__version__}\n"
    assert apptainer("exec", *APART, str(sif), "haca3", "--help").stdout.startswith("usage: haca3 ")


def test_the_file_keeps_the_labels_and_explains_itself(apptainer: Apptainer, sif: Path) -> None:
    assert f"org.opencontainers.image.version: {__version__}" in apptainer("inspect", "--labels", str(sif)).stdout
    assert "BIDS_DIR:/data:ro" in apptainer("run-help", str(sif)).stdout
    assert f"haca3-bids {__version__}" in apptainer("test", str(sif)).stdout


def test_exit_codes_come_through(apptainer: Apptainer, sif: Path) -> None:
    assert apptainer("run", *APART, str(sif), "--no-such-option", check=False).returncode == 64
    done = apptainer("run", *APART, str(sif), "/usr/share", str(apptainer.home / "out"), "participant", check=False)
    assert done.returncode == 16
    assert "dataset_description.json" in done.stderr


@pytest.mark.parametrize(("gone", "code"), [(False, 0), (True, 65)])
def test_cbrain_s_task_runs_and_a_link_that_leads_nowhere_is_an_error(
    apptainer: Apptainer, sif: Path, dataset: Path, gone: bool, code: int
) -> None:
    task = apptainer.home / f"task-{code}"
    (task / "study").mkdir(parents=True)
    for name in ("dataset_description.json", "README.md"):
        (task / "study" / name).symlink_to(dataset / name)
    (task / "study/sub-01").symlink_to(dataset / ("nowhere" if gone else "sub-01"))
    command = "haca3-bids study out participant --template builtin --dry-run"
    (task / "wrapper.sh").write_text(f"#!/bin/bash\nmkdir -p out; {command}\n")
    (task / "wrapper.sh").chmod(0o755)
    for path in (task, task / "study"):
        path.chmod(0o777)
    places = ("-H", str(task), "-B", f"{dataset}:{dataset}:ro")
    done = apptainer("exec", "--cleanenv", *places, str(sif), "./wrapper.sh", cwd=task, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert ("is a broken link" if gone else "sub-01_ses-siteA_T1w.nii.gz") in done.stdout + done.stderr
