"""ECLARE, a separate program (GPL) that makes thin slices of thick ones: found on PATH and run, never part of this one.

Remedios et al. 2023, doi:10.1007/978-3-031-44689-4_12; it comes with ``pip install eclare``.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from haca3_bids.errors import BadInput, Unavailable

PROGRAM = "run-eclare"
LAST_LINES = 5  # of what the program said, kept in the error


def find_eclare() -> str:
    """Where the program is; Unavailable (69) where it is not installed."""
    found = shutil.which(PROGRAM)
    if found is None:
        raise Unavailable(
            f"--super-resolution eclare needs the program {PROGRAM}, and it is not on PATH.",
            "Install it in an environment of its own (pip install eclare; GPL) and put it on PATH, or use builtin.",
        )
    return found


def run_eclare(image: Path, folder: Path, device: str = "cpu") -> Path:
    """The file that the program makes of ``image`` in ``folder``; BadInput with its last words where it fails."""
    gpu = device.partition(":")[2] or "0" if device.startswith("cuda") else "-1"
    folder.mkdir(parents=True, exist_ok=True)
    words = [find_eclare(), "--in-fpath", str(image), "--out-dir", str(folder), "--suffix", "_thin", "--gpu-id", gpu]
    done = subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    (folder / "eclare.log").write_text(done.stdout + done.stderr)
    made = sorted(folder.glob("*_thin.nii*"))
    if done.returncode == 0 and len(made) == 1:
        return made[0]
    said = " ".join((done.stderr or done.stdout).strip().splitlines()[-LAST_LINES:])
    raise BadInput(
        f"{PROGRAM} ended with code {done.returncode} and left {len(made)} images: {said or 'it said nothing'}.",
        "Try it by hand on the scan, or use --super-resolution builtin.",
    )
