from __future__ import annotations

from pathlib import Path

import pytest
from fake_parts import make_dataset
from runs import Run, fingerprints

from haca3_bids.bids.validate import run_validator

SLOW_FAKES = {"FAKE_SECONDS": "0.5"}  # of each step that is faked: time enough to be killed


@pytest.fixture(scope="session")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two subjects: one with T1w and T2w, one with a T1w alone."""
    return make_dataset(tmp_path_factory.mktemp("heads") / "raw", {"sub-01": ("T1w", "T2w"), "sub-02": ("T1w",)})


@pytest.fixture(scope="session")
def undisturbed(heads: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the outputs are where nothing happens: those of a valid dataset."""
    run = Run(tmp_path_factory.mktemp("undisturbed"), heads)
    assert run.finish() == 0, run.said
    issues = run_validator(run.out)
    assert [issue for issue in issues or () if issue["severity"] == "error"] == []
    return fingerprints(run.out)


@pytest.fixture
def run(tmp_path_factory: pytest.TempPathFactory, heads: Path) -> Run:
    """A run that takes some seconds; its folder lies beside that of ``undisturbed``, for links are relative."""
    return Run(tmp_path_factory.mktemp("run"), heads, variables=SLOW_FAKES)
