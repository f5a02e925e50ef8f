"""Every way to end, through ``docker run`` as a stranger without network on a read-only root and a read-only input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from docker_engine import HARD, Engine

pytestmark = [pytest.mark.container, pytest.mark.slow]

LEVEL = "participant"
BUILTIN = ("--template", "builtin")


def empty(folder: Path) -> None:
    """Not a dataset."""


def without_anatomy(folder: Path) -> None:
    (folder / "dataset_description.json").write_text(json.dumps({"Name": "no images", "BIDSVersion": "1.9.0"}))
    (folder / "README").write_text("A dataset without a single image: all that is in it is this sentence.\n")
    (folder / "sub-01/anat").mkdir(parents=True)


def broken(folder: Path) -> None:
    without_anatomy(folder)
    (folder / "sub-01/anat/sub-01_T1w.nii.gz").write_bytes(b"this is no image")


@pytest.mark.parametrize(
    ("make", "words", "code", "said"),
    [
        (empty, (LEVEL,), 16, "dataset_description.json"),
        (empty, ("nonsense",), 17, "nonsense"),
        (broken, (LEVEL, *BUILTIN, "--participant-label", "99"), 18, "99"),
        (empty, (LEVEL, "--no-such-option"), 64, "--no-such-option"),
        (broken, (LEVEL, *BUILTIN), 65, "sub-01_T1w.nii.gz"),
        (without_anatomy, (LEVEL, *BUILTIN), 66, "T1w"),
        (broken, (LEVEL,), 69, "--template builtin"),
        (broken, (LEVEL, *BUILTIN, "--device", "cuda"), 69, "--gpus all"),
    ],
)
def test_an_exit_code_comes_through_with_its_sentence(
    engine: Engine,
    image: str,
    tmp_path: Path,
    make: Callable[[Path], None],
    words: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    (tmp_path / "data").mkdir()
    make(tmp_path / "data")
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(0o777)
    mounts = ("-v", f"{tmp_path}/data:/data:ro", "-v", f"{tmp_path}/out:/out")
    done = engine("run", "--rm", *HARD, *mounts, image, "/data", "/out", *words, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
