"""ECLARE, a separate program (GPL) for thin slices from thick ones. It is run from the PATH and not distributed here.

Remedios et al. 2025, doi:10.48550/arXiv.2503.11787; it comes with ``pip install eclare``.
"""

import os
import shutil
import subprocess
from functools import partial
from pathlib import Path

import numpy as np

from haca3_bids.errors import BadInput, TemporaryFailure, Unavailable
from haca3_bids.orphan import end_with_parent
from haca3_bids.volumes.volume import Volume, load_volume, save_volume

PROGRAM = "run-eclare"
LAST_LINES = 3  # of the program's output, quoted in the error


def find_eclare() -> str:
    """The path of the program; Unavailable (69) if it is not installed."""
    found = shutil.which(PROGRAM)
    if found is None:
        raise Unavailable(
            f"--super-resolution eclare requires the program {PROGRAM}, which is not on the PATH.",
            "Install it in a separate environment (pip install eclare; GPL) and add it to the PATH, or use builtin.",
        )
    return found


def run_eclare(scan: Volume, axis: int, folder: Path, device: str = "cpu", threads: int = 1) -> Volume:
    """The output of the program for a scan with thick slices along the array axis ``axis``.

    ``device`` is cpu, cuda or cuda:N. Messages are written to ``eclare.log`` in ``folder`` while it runs, which takes
    hours on a CPU. BadInput with its last messages if it fails, or if its image does not match the scan;
    TemporaryFailure if it was killed.
    """
    gpu = device.partition(":")[2] or "0" if device.startswith("cuda") else "-1"
    folder.mkdir(parents=True, exist_ok=True)
    clean, made, log = folder / "scan.nii.gz", folder / "scan_thin.nii.gz", folder / "eclare.log"
    save_volume(scan, clean)
    made.unlink(missing_ok=True)
    words = [find_eclare(), "--in-fpath", str(clean), "--out-dir", str(folder), "--suffix", "_thin", "--gpu-id", gpu]
    with log.open("w") as said:
        done = subprocess.run(
            words,
            stdout=said,
            stderr=subprocess.STDOUT,
            check=False,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
            stdin=subprocess.DEVNULL,
            preexec_fn=partial(end_with_parent, os.getpid()),
        )
    if done.returncode < 0:
        raise TemporaryFailure(
            f"{PROGRAM} was killed (signal {-done.returncode}).",
            "It probably ran out of memory or time. Request more for the job, or use --super-resolution builtin.",
        )
    if done.returncode != 0 or not made.exists():
        last = " ".join(" ".join(log.read_text(errors="replace").strip().splitlines()[-LAST_LINES:]).split())
        raise BadInput(
            f"{PROGRAM} ended with code {done.returncode} and {'an' if made.exists() else 'no'} image: "
            f"{last or 'no message'}.",
            "Run it manually on the scan, or use --super-resolution builtin.",
        )
    return _placed(load_volume(made), scan, axis)


def _placed(thin: Volume, scan: Volume, axis: int) -> Volume:
    """The thin slices, centred on the scan.

    The program resizes around the centre of the field of view, but its header (1.0.1) keeps the edge of the first
    slice: if the thin slices do not fill the field of view exactly, its image is displaced by up to half a slice.
    """
    length, step = scan.shape[axis], float(thin.zooms_mm[axis] / scan.zooms_mm[axis])
    covered = thin.shape[axis] * step
    if np.delete(thin.shape, axis).tolist() != np.delete(scan.shape, axis).tolist() or abs(covered - length) > step:
        raise BadInput(
            f"{PROGRAM} made an image of {thin.shape} voxels from one of {scan.shape}, which is another region.",
            "Run it manually on the scan, or use --super-resolution builtin.",
        )
    to_thick = np.eye(4)
    to_thick[axis, axis] = step
    to_thick[axis, 3] = (length - 1) / 2 - step * (thin.shape[axis] - 1) / 2
    return Volume(thin.data, scan.affine @ to_thick)
