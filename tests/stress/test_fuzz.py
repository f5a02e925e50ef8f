"""A minute of damaged images and one of damaged weights; ``make fuzz`` takes ten."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).with_name("fuzz.py")


@pytest.mark.slow
@pytest.mark.parametrize("what", ["images", "weights"])
def test_no_damaged_file_is_taken_wrongly(what: str) -> None:
    words = [sys.executable, "-W", "ignore", str(FUZZ), what, "--seconds", "60"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert int(done.stdout.split()[0]) > 100
