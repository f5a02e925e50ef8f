"""The page's array of jobs, what a job takes from Slurm's variables, and Nipype's own plugin, on a real Slurm."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_parts import make_dataset

from haca3_bids.bids.validate import run_validator

pytestmark = pytest.mark.slurm

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "docs/how-to/slurm.md"
APP = f"{sys.executable} {TESTS}/docs/quick_app.py"
STAND_IN = f"""#!/bin/bash
while [ "$1" != haca3.sif ]; do shift; done
shift 3  # the image and the two folders as the container sees them
exec {APP} "$STUDY" "$STUDY-haca3" "$@"
"""  # for apptainer: everything but the container is real
EVERYWHERE = """import fake_parts
from importlib import import_module

for name, stand_in in fake_parts.STAND_INS.items():
    module, _, attribute = name.rpartition(".")
    setattr(import_module(module), attribute, stand_in)
"""  # as sitecustomize.py: jobs are processes of their own, and know of no stand-in otherwise
Submit = Callable[..., str]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "study", {f"sub-0{n}": ("T1w", "T2w") for n in (1, 2, 3, 4)})


def test_the_array_of_the_page_does_one_subject_a_job_into_one_folder(
    submit: Submit, study: Path, tmp_path: Path
) -> None:
    script = re.search(r"```bash\n(#!/bin/bash\n.*?)```", PAGE.read_text(), re.DOTALL)
    assert script
    (tmp_path / "subjects.txt").write_text("01\n02\n03\n04\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/apptainer").write_text(STAND_IN)
    (tmp_path / "bin/apptainer").chmod(0o755)
    submit(script[1], "--array=1-4", variables={"STUDY": str(study), "TMPDIR": str(tmp_path)})
    out = tmp_path / "study-haca3"
    assert sorted(page.name for page in out.glob("sub-*.html")) == [f"sub-0{n}.html" for n in (1, 2, 3, 4)]
    assert json.loads((out / "dataset_description.json").read_text())["DatasetType"] == "derivative"


def test_processes_and_memory_are_those_of_the_job(submit: Submit, study: Path, tmp_path: Path) -> None:
    said = submit(
        f"#!/bin/bash\n{APP} {study} {tmp_path}/out participant --participant-label 01 --skip-bids-validation\n"
    )
    assert re.search(r"Up to 1 processes, 1 threads each, 1\.[0-5] GB", said), said


@pytest.fixture
def four(tmp_path: Path) -> Path:
    """Four subjects; with FAKE_ENGINE, the one that has two contrasts needs more memory than a job has."""
    return make_dataset(
        tmp_path / "four", {"sub-01": ("T1w",), "sub-02": ("T1w",), "sub-03": ("T1w", "T2w"), "sub-04": ("T1w",)}
    )


def states(out: Path) -> dict[str, str]:
    paths = out.glob("sub-*/anat/*_qc.json")
    return {path.name.partition("_")[0]: json.loads(path.read_text())["status"] for path in paths}


def test_a_job_that_is_killed_for_its_memory_is_done_by_the_next_and_the_others_finish(
    submit: Submit, four: Path, tmp_path: Path
) -> None:
    words = "participant --participant-label 0$SLURM_ARRAY_TASK_ID --skip-bids-validation --work-dir"
    script = f"#!/bin/bash\nexec {APP} {four} {tmp_path}/out {words} {tmp_path}/work\n"
    said = submit(script, "--array=1-4", variables={"FAKE_ENGINE": "hungry for two"}, fails=True)
    assert "memory limit" in said
    assert states(tmp_path / "out") == dict.fromkeys(("sub-01", "sub-02", "sub-04"), "done")
    assert "Another process" not in submit(script, "--array=3")
    assert states(tmp_path / "out")["sub-03"] == "done"
    issues = run_validator(tmp_path / "out")
    assert [issue for issue in issues or () if issue["severity"] == "error"] == []


def test_a_step_of_the_plugin_that_is_killed_fails_its_session_and_no_other(
    submit: Submit, four: Path, tmp_path: Path
) -> None:
    (tmp_path / "plugin.yml").write_text('plugin: SLURM\nplugin_args: {sbatch_args: "--mem=600M "}\n')
    (tmp_path / "sitecustomize.py").write_text(EVERYWHERE)
    words = "--participant-label 02 03 --skip-bids-validation --nipype-plugin-file plugin.yml"
    hooked = f"export PYTHONPATH={tmp_path}:$PYTHONPATH"
    app = f"{APP} {four} {tmp_path}/out participant {words} --work-dir {tmp_path}/work"
    said = submit(f"#!/bin/bash\n{hooked}\n{app}\n", variables={"FAKE_ENGINE": "hungry for two"}, fails=True)
    assert states(tmp_path / "out") == {"sub-02": "done", "sub-03": "failed"}
    assert "was killed" in said.partition("failed   sub-03, while harmonizing")[2], said


def test_the_plugin_of_nipype_sends_every_step_as_a_job(submit: Submit, study: Path, tmp_path: Path) -> None:
    """The YAML of the page, with less memory."""
    plugin = re.search(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert plugin
    (tmp_path / "plugin.yml").write_text(plugin[1].replace("--mem=8G", "--mem=1G"))
    (tmp_path / "sitecustomize.py").write_text(EVERYWHERE)
    words = "--participant-label 01 --skip-bids-validation --nipype-plugin-file plugin.yml"
    hooked = f"export PYTHONPATH={tmp_path}:$PYTHONPATH"
    app = f"{APP} {study} {tmp_path}/out participant {words} --work-dir {tmp_path}/work"
    said = submit(f"#!/bin/bash\n{hooked}\n{app}\n")
    assert (tmp_path / "out/sub-01.html").is_file(), said
    assert list((tmp_path / "work").rglob("*slurm*")), "no step left the files of a job"


def test_an_interrupted_run_of_the_plugin_leaves_no_job(submit: Submit, study: Path, tmp_path: Path) -> None:
    """Jobs that are held wait for ever."""
    (tmp_path / "plugin.yml").write_text('plugin: SLURM\nplugin_args: {sbatch_args: "--mem=600M --hold "}\n')
    words = "--participant-label 01 --skip-bids-validation --nipype-plugin-file plugin.yml"
    app = f"{APP} {study} {tmp_path}/out participant {words} --work-dir {tmp_path}/work"
    waiting = "squeue --noheader --states=PENDING --format"
    said = submit(f"""#!/bin/bash
        {app} &
        for second in $(seq 100); do {waiting} %i | grep -q . && break; sleep 1; done
        {waiting} "submitted %i"
        kill -TERM $!
        wait $!
        echo "exit code $?"
        {waiting} "left %i"
    """)
    assert "submitted" in said, said
    assert "exit code 143" in said, said
    assert "left" not in said.partition("exit code")[2], said
