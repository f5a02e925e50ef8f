"""What is fetched from elsewhere is still there, and is what it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from haca3_bids.checkpoints.registry import RELEASED, fetch
from haca3_bids.digest import file_sha256

pytestmark = pytest.mark.network


@pytest.mark.parametrize("name", RELEASED)
def test_the_released_weights_are_where_the_registry_says(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HACA3_HOME", str(tmp_path))
    assert file_sha256(fetch(name)) == RELEASED[name].sha256


def test_the_default_template_is_fetched_into_an_empty_home(tmp_path: Path) -> None:
    code = "from haca3_bids.preprocessing.template import *; print(*check_template(DEFAULT).values())"
    environment = os.environ | {"TEMPLATEFLOW_HOME": str(tmp_path / "templateflow"), "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(Path(path).stat().st_size > 1000 for path in done.stdout.split())
