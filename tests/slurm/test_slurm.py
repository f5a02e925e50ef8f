"""The page's array of jobs, what a job takes from Slurm's variables, and Nipype's own plugin, on a real Slurm."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_parts import make_dataset

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
    return make_dataset(tmp_path / "study", {f"sub-0{n}": ("T1w", "T2w") for n in (1, 2, 3)})


def test_the_array_of_the_page_does_one_subject_a_job_into_one_folder(
    submit: Submit, study: Path, tmp_path: Path
) -> None:
    script = re.search(r"```bash\n(#!/bin/bash\n.*?)```", PAGE.read_text(), re.DOTALL)
    assert script
    (tmp_path / "subjects.txt").write_text("01\n02\n03\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/apptainer").write_text(STAND_IN)
    (tmp_path / "bin/apptainer").chmod(0o755)
    submit(script[1], "--array=1-3", variables={"STUDY": str(study), "TMPDIR": str(tmp_path)})
    out = tmp_path / "study-haca3"
    assert sorted(page.name for page in out.glob("sub-*.html")) == ["sub-01.html", "sub-02.html", "sub-03.html"]
    assert json.loads((out / "dataset_description.json").read_text())["DatasetType"] == "derivative"


def test_processes_and_memory_are_those_of_the_job(submit: Submit, study: Path, tmp_path: Path) -> None:
    said = submit(
        f"#!/bin/bash\n{APP} {study} {tmp_path}/out participant --participant-label 01 --skip-bids-validation\n"
    )
    assert re.search(r"Up to 1 processes, 1 threads each, 1\.[0-5] GB", said), said


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
