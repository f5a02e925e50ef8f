"""The group level with 5,000 simulated sessions: time and memory to make the page, and time to open it.

``python -m pytest benchmarks/bench_group.py --override-ini python_files='bench_*.py' -s``
"""

from __future__ import annotations

import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1] / "tests"
SESSIONS = 5000
MAKE_S, MEMORY_GB, OPEN_S = 60.0, 2.0, 3.0
PROGRAM = "import sys; from haca3_bids.cli.app import main; sys.exit(main(sys.argv[1:]))"


def test_five_thousand_sessions_make_a_page_that_opens(tmp_path: Path) -> None:
    sys.path.insert(0, str(TESTS))
    from simulated_cohort import write_cohort

    write_cohort(tmp_path / "out", tmp_path / "raw", SESSIONS)
    (tmp_path / "raw/dataset_description.json").write_text('{"Name": "none", "BIDSVersion": "1.9.0"}')
    (tmp_path / "out/dataset_description.json").write_text('{"GeneratedBy": [{"Name": "haca3_bids"}]}')
    begun = time.monotonic()
    words = [str(tmp_path / "raw"), str(tmp_path / "out"), "group"]
    subprocess.run([sys.executable, "-c", PROGRAM, *words], check=True)
    seconds = time.monotonic() - begun
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    memory, processor = used.ru_maxrss / 1e6, used.ru_utime + used.ru_stime
    page = tmp_path / "out/group.html"
    size = page.stat().st_size / 1e6
    print(f"\n{SESSIONS} sessions: {seconds:.1f} s ({processor:.1f} s of CPU), {memory:.2f} GB, page of {size:.1f} MB")
    assert seconds < MAKE_S
    assert memory < MEMORY_GB
    opened = seconds_to_open(page, tmp_path)
    print(f"ready {opened:.2f} s after navigation began")
    assert opened < OPEN_S


def seconds_to_open(page: Path, folder: Path) -> float:
    """Seconds from the start of navigation until the page's script has drawn table and planes."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium to open the page with")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command = [browser, *options, f"--user-data-dir={folder / 'profile'}", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    (ready,) = re.findall(r'data-ready="(\d+)"', done.stdout)
    return int(ready) / 1000
