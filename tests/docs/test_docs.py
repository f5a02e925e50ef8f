from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from haca3_bids import __version__, errors
from haca3_bids.bids.sidecars import harmonized_sidecar, native_sidecar, preproc_sidecar, template_sidecar
from haca3_bids.cli.options import every_option
from haca3_bids.cli.toolbox import EARLY, LATE
from haca3_bids.quality.thresholds import THRESHOLDS
from haca3_bids.records.engine import EngineResult, HarmonizedImage
from haca3_bids.records.preprocessing import Preprocessing
from haca3_bids.records.target import Target
from haca3_bids.volumes.volume import Volume, load_volume, save_volume

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(DOCS), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_documentation_is_built_without_a_warning(site: Path) -> None:
    assert (site / "index.html").is_file()


def test_every_option_of_the_parser_is_in_the_reference(site: Path) -> None:
    page = (site / "reference/command-line.html").read_text()
    assert not [flag for option in every_option() for flag in option.flags if flag not in page]


def test_every_exit_code_is_in_the_reference(site: Path) -> None:
    page = (site / "reference/exit-codes.html").read_text()
    codes = {kind.exit_code for kind in vars(errors).values() if hasattr(kind, "exit_code")}
    assert not [code for code in codes | {0} if f"<p>{code}</p>" not in page]


def test_every_command_of_the_toolbox_is_in_the_reference() -> None:
    page = (DOCS / "reference/toolbox.md").read_text()
    assert not [name for name in EARLY | LATE if f"{{toolbox}} {name}\n" not in page]


def test_every_page_is_reached_from_the_index() -> None:
    pages = {str(page.relative_to(DOCS).with_suffix("")) for page in DOCS.rglob("*.md")} - {"index"}
    assert not [page for page in pages if f"\n{page}\n" not in (DOCS / "index.md").read_text()]


def test_every_target_of_make_that_is_named_somewhere_exists() -> None:
    targets = set(re.findall(r"[\w-]+(?=[^:=\n]*:(?!=))", (ROOT / "Makefile").read_text()))
    texts = [*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / ".ci/run", *(ROOT / ".github").rglob("*.yml")]
    named = set(
        re.findall(r"(?:^|`|: )make ([a-z][\w-]*)", "\n".join(t.read_text() for t in texts), flags=re.MULTILINE)
    )
    assert {"demo", "test"} <= named <= targets


def test_the_image_has_the_package_s_version() -> None:
    assert f"ARG VERSION={__version__}\n" in (ROOT / "Dockerfile").read_text()


def test_the_workflows_are_yaml() -> None:
    for workflow in (ROOT / ".github/workflows").iterdir():
        assert {"name", "jobs"} <= set(yaml.safe_load(workflow.read_text()))


def test_every_quality_number_is_in_the_reference(site: Path) -> None:
    page = (site / "reference/quality.html").read_text()
    assert not [key for key in THRESHOLDS if key not in page]


def test_every_key_of_a_sidecar_is_in_the_reference() -> None:
    image = HarmonizedImage(Target("", "T1w", (0, 0), (0, 0), 1.0, ""))
    keys = set(template_sidecar("MNI152NLin2009cSym", [], stripped=False)) | set(native_sidecar("", [], stripped=False))
    keys |= set(preproc_sidecar("T1w", Preprocessing(), {})) | set(harmonized_sidecar(image, EngineResult()))
    page = (DOCS / "reference/sidecars.md").read_text()
    assert not [key for key in keys if f"`{key}`" not in page]


def test_every_option_that_the_pages_name_exists() -> None:
    pages = [*DOCS.rglob("*.md"), ROOT / "README.md"]
    commands = re.findall(r"haca3-bids [^\n`]*(?:\\\n[^\n`]*)*", "\n".join(page.read_text() for page in pages))
    known = {flag for option in every_option() for flag in option.flags}
    known |= {"--help", "--version", "--config-file", "--bids-exec-spec", "--notrack"}
    assert not [flag for command in commands for flag in re.findall(r"(?<= )--[a-z-]+", command) if flag not in known]


def test_the_example_in_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.+?)```", (DOCS / "reference/python-api.md").read_text(), flags=re.DOTALL)
    side = np.linspace(-1, 1, 12)
    radius = np.sqrt(sum(axis**2 for axis in np.meshgrid(side, side, side)))
    for contrast, inner in (("T1w", 900.0), ("T2w", 300.0)):
        data = np.where(radius < 0.9, inner + 400 * radius, 0).astype(np.float32)
        save_volume(Volume(data, np.diag([-1.0, -1.0, 1.0, 1.0])), tmp_path / f"{contrast}.nii.gz")
    monkeypatch.chdir(tmp_path)
    told: dict[str, Any] = {}
    exec(code, told)
    assert sum(told["attention"].values()) == pytest.approx(1, abs=1e-5)
    assert load_volume(tmp_path / "FLAIR.nii.gz").data[radius < 0.5].min() > 0


def test_links_between_files_of_the_readme_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / "README.md").read_text())
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]
