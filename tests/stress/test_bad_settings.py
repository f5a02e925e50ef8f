"""Files that the command line names, and that are none of what they should be: wrong usage with a sentence, or 65."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_parts import STAND_INS, make_dataset

from haca3_bids.cli.app import main

Make = Callable[[Path], Any]
DEEP = "[" * 100_000
BINARY = bytes(range(256)) * 4


def text(content: str) -> Make:
    return lambda path: path.write_text(content)


def binary(path: Path) -> None:
    path.write_bytes(BINARY)


def nowhere(path: Path) -> None:
    path.symlink_to("/nowhere/x")


def circle(path: Path) -> None:
    path.symlink_to(path.name)


FILES: dict[str, tuple[str, str, Make, int, str]] = {  # option, file name, content, exit code, words
    "no TOML": ("--config-file", "c.toml", text("a = = 1"), 64, "is not valid TOML"),
    "TOML that is binary": ("--config-file", "c.toml", binary, 64, "is not valid TOML"),
    "TOML that is deep": ("--config-file", "c.toml", text("a = " + DEEP), 64, "is not valid TOML"),
    "TOML of an unknown option": ("--config-file", "c.toml", text("[outputs]\nspeed = 1"), 64, "outputs.speed"),
    "TOML of a wrong type": ("--config-file", "c.toml", text("[execution]\nnprocs = [1, 2]"), 64, "nprocs"),
    "TOML of tables": ("--config-file", "c.toml", text("[[execution]]\nnprocs = 1"), 64, "execution"),
    "TOML of dates": ("--config-file", "c.toml", text("[execution]\nnprocs = 2020-01-01"), 64, "nprocs"),
    "TOML that is nowhere": ("--config-file", "c.toml", nowhere, 64, "The configuration file"),
    "TOML in a circle": ("--config-file", "c.toml", circle, 64, "The configuration file"),
    "TOML that is a folder": ("--config-file", "c.toml", Path.mkdir, 64, "The configuration file"),
    "no JSON": ("--bids-filter-file", "f.json", text("{t1w: 1}"), 64, "cannot be read as JSON"),
    "JSON that is deep": ("--bids-filter-file", "f.json", text(DEEP), 64, "cannot be read as JSON"),
    "JSON that is binary": ("--bids-filter-file", "f.json", binary, 64, "cannot be read as JSON"),
    "JSON of a list": (
        "--bids-filter-file",
        "f.json",
        text("[1]"),
        64,
        "must contain one JSON object",
    ),
    "JSON of an unknown contrast": ("--bids-filter-file", "f.json", text('{"bold": {}}'), 64, "unknown key 'bold'"),
    "JSON that is nowhere": ("--bids-filter-file", "f.json", nowhere, 64, "cannot be read (No such file or directory)"),
    "no YAML": ("--nipype-plugin-file", "p.yml", text("plugin: [1"), 64, "cannot be read as YAML"),
    "YAML with code in it": (
        "--nipype-plugin-file",
        "p.yml",
        text("!!python/object/apply:os.system ['touch trace']"),
        64,
        "cannot be read as YAML",
    ),
    "YAML that is binary": ("--nipype-plugin-file", "p.yml", binary, 64, "cannot be read as YAML"),
    "YAML of nothing": ("--nipype-plugin-file", "p.yml", text(""), 64, "must contain 'plugin: NAME'"),
    "YAML of a list": (
        "--nipype-plugin-file",
        "p.yml",
        text("plugin: SLURM\nplugin_args: [1]"),
        64,
        "must contain 'plugin",
    ),
    "YAML of an unknown plugin": ("--nipype-plugin-file", "p.yml", text("plugin: Nothing"), 64, "Nothing"),
    "labels that are none": ("--participant-label", "l.txt", text("sub-01\n../../etc\n"), 64, "is not a BIDS label"),
    "labels that are binary": ("--participant-label", "l.txt", binary, 64, "is not a BIDS label"),
    "labels of nobody": ("--participant-label", "l.txt", text("99\n"), 18, "has no participant 99"),
    "a target that is no image": ("--target", "x_T2w.nii.gz", text("no image"), 65, "cannot be read as an image"),
    "a target that is empty": ("--target", "x_T2w.nii.gz", text(""), 65, "is empty"),
    "a target that is nowhere": ("--target", "x_T2w.nii.gz", nowhere, 65, "does not exist"),
    "a target in a circle": ("--target", "x_T2w.nii.gz", circle, 65, "does not exist"),
    "a target that is a folder": ("--target", "x_T2w.nii.gz", Path.mkdir, 65, "x_T2w.nii.gz"),
    "a target that is a pipe": ("--target", "x_T2w.nii.gz", os.mkfifo, 65, "x_T2w.nii.gz"),
    "a target of unknown contrast": ("--target", "x_bold.nii.gz", text(""), 64, "does not contain its contrast"),
    "a list of targets of nothing": ("--target", "x.txt", text(""), 18, "matches no session"),
    "a list of targets of paths": ("--target", "x.txt", text("../../etc/passwd"), 18, "has no participant"),
    "a list of targets that is binary": ("--target", "x.txt", binary, 65, "cannot be read"),
    "a list of targets that is nowhere": ("--target", "x.txt", nowhere, 65, "cannot be read"),
    "derivatives that are a file": ("--derivatives", "old=d", text(""), 64, "d"),
    "a work folder that is a file": ("--work-dir", "w", text(""), 73, "w"),
}


@pytest.fixture
def bids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, stand_in in STAND_INS.items():
        monkeypatch.setattr(name, stand_in)
    monkeypatch.chdir(tmp_path)
    return make_dataset(tmp_path / "raw", {"sub-01": ("T1w",)})


@pytest.mark.parametrize("kind", FILES)
def test_a_bad_file_of_the_command_line_has_a_sentence(
    kind: str, bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    option, name, make, code, words = FILES[kind]
    head, sign, tail = name.rpartition("=")
    path = tmp_path / tail
    make(path)
    out = tmp_path / "out"
    given = [str(bids), str(out), "participant", "--skip-bids-validation", option, f"{head}{sign}{path}"]
    assert main(given) == code
    captured = capsys.readouterr()
    assert words in captured.err + captured.out
    assert "Traceback" not in captured.err
    assert not (tmp_path / "trace").exists()
    assert not list(out.rglob("*.nii.gz"))


DESCRIPTIONS: dict[str, Make] = {
    "no JSON": text("{"),
    "a list": text("[]"),
    "binary": binary,
    "deep": text(DEEP),
    "nowhere": nowhere,
    "a circle": circle,
    "a folder": Path.mkdir,
}


@pytest.mark.parametrize("kind", DESCRIPTIONS)
def test_a_bad_description_of_the_dataset_is_invalid_bids(
    kind: str, bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = bids / "dataset_description.json"
    path.unlink()
    DESCRIPTIONS[kind](path)
    assert main([str(bids), str(tmp_path / "out"), "participant", "--skip-bids-validation"]) == 16
    assert "dataset_description.json" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
