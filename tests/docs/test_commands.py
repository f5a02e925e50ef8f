"""Every block of commands on the pages is run here, or says what it needs that this test has not.

A block that cannot run here has a comment on the line before it, ``<!-- needs: docker -->``, with reasons of NEEDS.
All others are run as they stand, in a folder with a dataset under the names that the pages use.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fake_parts import make_dataset

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMENT = r"<!-- (?:needs|not run by the tests): (?P<needs>[^\n]+) -->\n"
BLOCK = re.compile(rf"(?:{COMMENT})?```(?:bash|sh|console)\n(?P<code>.+?)```", flags=re.DOTALL)
NEEDS = {  # and where the commands are run instead
    "docker": "make test-container",
    "apptainer": "make test-container",
    "a GPU": "make test-gpu",
    "a network": "make test-network",
    "the package index": "make test-network, by the test below",
    "slurm": "nowhere in the tests",
    "images": "the same commands with images of their own, in the tests of the program that is called",
    "minutes": "smaller, in the tests of the program that is called",
    "hours": "nowhere in the tests",
    "other software": "nowhere in the tests",
    "an installation": "continuous integration: .ci/run, and the job demo",
}
SHIMS = {
    "haca3-bids": f"exec {sys.executable} {Path(__file__).with_name('quick_app.py')}",
    "haca3": f"exec {sys.executable} -m haca3_bids.cli.toolbox",
    "python": f"exec {sys.executable}",
    "bosh": f"exec {sys.executable} {Path(sys.executable).with_name('bosh')}",
}


def blocks() -> dict[str, tuple[str | None, str]]:
    """By page and place: what the block needs, and its commands."""
    found = {}
    for page in PAGES:
        text = page.read_text()
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start("code"))
            found[f"{page.relative_to(ROOT)}:{line}"] = (match["needs"], match["code"])
    return found


ONCE = {code: name for name, (needs, code) in blocks().items() if needs is None}  # what two pages say is run once
HERE = {name: code for code, name in ONCE.items()}
FROM_INDEX = {name: code for name, (needs, code) in blocks().items() if needs == "the package index"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands run: a dataset called BIDS_DIR, the programs on the PATH."""
    sessions = {f"sub-01_ses-{name}": ("T1w", "T2w") for name in ("siteA", "siteB")}
    make_dataset(tmp_path / "BIDS_DIR", sessions | {"sub-07_ses-2": ("T1w", "FLAIR")})
    (tmp_path / "bin").mkdir()
    for name, words in SHIMS.items():
        (tmp_path / "bin" / name).write_text(f'#!/bin/sh\n{words} "$@"\n')
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    return tmp_path


@pytest.mark.parametrize("place", HERE)
def test_a_block_of_commands_runs(place: str, folder: Path) -> None:
    before = "haca3-bids BIDS_DIR OUTPUT_DIR participant\n" if " group" in HERE[place] else ""
    _run(place, before + HERE[place], folder)


@pytest.mark.network
@pytest.mark.parametrize("place", FROM_INDEX)
def test_a_block_that_installs_a_package_runs(place: str, folder: Path) -> None:
    _run(place, FROM_INDEX[place], folder)


def _run(place: str, commands: str, folder: Path) -> None:
    (folder / "commands.sh").write_text(commands)
    done = subprocess.run(["bash", "-eu", "commands.sh"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{place}:\n{commands}\n{done.stdout}\n{done.stderr}"


def test_a_block_that_is_not_run_says_what_it_needs() -> None:
    reasons = {place: needs.split(", ") for place, (needs, _) in blocks().items() if needs}
    assert reasons, "no block is marked, so the marks are not read"
    assert not {place: words for place, words in reasons.items() if not set(words) <= NEEDS.keys()}
