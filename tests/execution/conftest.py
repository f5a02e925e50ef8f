from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_parts import STAND_INS, make_dataset

from haca3_bids.bids.names import node_name
from haca3_bids.cli.app import main

HERE = Path(__file__).parent


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Preprocessing, networks and figures that take no time; everything else is the App itself."""
    for name, stand_in in STAND_INS.items():
        monkeypatch.setattr(name, stand_in)
    monkeypatch.setenv("PYTHONPATH", f"{HERE.parents[1]}")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("FAKE_NOTES", str(tmp_path / "notes"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    (tmp_path / "notes").mkdir()


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two subjects: one with T1w and T2w, one with a T1w alone."""
    return make_dataset(tmp_path / "raw", {"sub-01": ("T1w", "T2w"), "sub-02": ("T1w",)})


@pytest.fixture
def app(fakes: None, dataset: Path, tmp_path: Path) -> Callable[..., int]:
    """``app("--seed", "3")``: run the App on ``dataset``, without the validator unless it is asked for."""

    def run(*options: str, level: str = "participant", bids: Path = dataset, out: Path = tmp_path / "out") -> int:
        quick = () if "--validate" in options else ("--skip-bids-validation",)
        words = [option for option in options if option != "--validate"]
        return main([str(bids), str(out), level, *quick, "--nprocs", "2", *words])

    return run


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def record(out: Path, tmp_path: Path) -> Callable[[str], dict[str, Any]]:
    """The record of a session by its name, with what the stand-ins were given."""

    def read(name: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(
            (out.joinpath(*name.split("_")) / "anat" / f"{name}_desc-haca3_qc.json").read_text()
        )
        for path in (tmp_path / "notes").glob(f"{node_name(name)}_wf-*.json"):
            told = json.loads(path.read_text())
            if path.stem.endswith("-job"):
                content["harmonization"] = (content["harmonization"] or {}) | {"job": told}
            else:
                content["preprocessing"] = (content["preprocessing"] or {}) | told
        return content

    return read


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody can enter: pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="haca3-test-"))
    folder.chmod(0o755)
    yield folder
    for closed in folder.rglob("*"):
        if closed.is_dir():
            closed.chmod(0o755)
    shutil.rmtree(folder)
