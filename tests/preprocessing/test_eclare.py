"""ECLARE itself is never part of the tests: a program of its name, which does as it is told, stands in."""

from __future__ import annotations

from pathlib import Path

import pytest

from haca3_bids.errors import BadInput, Unavailable
from haca3_bids.preprocessing.eclare import PROGRAM, find_eclare, run_eclare

SCRIPT = """#!/bin/sh
echo "$@" > "$4/words"
{action}
"""


def program(folder: Path, monkeypatch, action: str) -> None:
    script = folder / "bin" / PROGRAM
    script.parent.mkdir()
    script.write_text(SCRIPT.format(action=action))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:/usr/bin:/bin")


def test_the_program_gets_the_scan_and_its_image_is_taken(tmp_path, monkeypatch) -> None:
    program(tmp_path, monkeypatch, 'cp "$2" "$4/scan_thin.nii.gz"')
    scan = tmp_path / "scan.nii.gz"
    scan.write_bytes(b"an image")
    made = run_eclare(scan, tmp_path / "out", "cuda:1")
    assert made.read_bytes() == b"an image"
    words = (tmp_path / "out" / "words").read_text().split()
    assert words == f"--in-fpath {scan} --out-dir {tmp_path}/out --suffix _thin --gpu-id 1".split()
    run_eclare(scan, tmp_path / "out")
    assert (tmp_path / "out" / "words").read_text().split()[-1] == "-1"  # the CPU


def test_what_the_program_says_when_it_fails_is_passed_on(tmp_path, monkeypatch) -> None:
    program(tmp_path, monkeypatch, "echo no slices here >&2; exit 3")
    with pytest.raises(BadInput, match="code 3 and left 0 images: no slices here"):
        run_eclare(tmp_path / "scan.nii.gz", tmp_path / "out")


def test_a_program_that_is_not_installed_is_named(monkeypatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Unavailable, match="run-eclare, and it is not on PATH"):
        find_eclare()
