"""Time of preprocessing one session with two processes: ``preprocessing_speed.py FOLDER``.

A head is simulated: T1w of 0.7 mm, T2w and FLAIR with slices of 3 mm, each in another position. Prints wall time and
processor time of the workflow (reading, bias, both registrations, resampling, scaling). On a busy machine, half of the
processor time is a lower bound for the time on two idle cores.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np

from haca3_bids.physics.anatomy import AFFINE, SHAPE, builtin_head
from haca3_bids.physics.cohort import rendered
from haca3_bids.physics.protocols import REFERENCE_PROTOCOLS
from haca3_bids.physics.render import texture, tissue_weights
from haca3_bids.physics.scanner import rician
from haca3_bids.physics.tissues import person_deviations
from haca3_bids.preprocessing.resampling import resample
from haca3_bids.preprocessing.transforms import inverse, similarity_matrix
from haca3_bids.settings import PreprocessingSettings
from haca3_bids.volumes.builtin import load_icbm2009a
from haca3_bids.volumes.volume import Volume, save_volume
from haca3_bids.workflows.preprocess import init_preprocess_wf

VOXELS_MM = {"T1w": (0.7, 0.7, 0.7), "T2w": (0.9, 0.9, 3.0), "FLAIR": (0.9, 0.9, 3.0)}
NOISE = 0.03
PROCESSES = 2


def scans(folder: Path) -> dict[str, Path]:
    """The files of the three scans, created if missing."""
    files = {contrast: folder / f"{contrast}.nii.gz" for contrast in VOXELS_MM}
    if all(file.exists() for file in files.values()):
        return files
    head, rng = builtin_head(load_icbm2009a()), np.random.default_rng(0)
    deviations, local = person_deviations(rng), texture(SHAPE, rng)
    for contrast, zooms in VOXELS_MM.items():
        weights = tissue_weights(REFERENCE_PROTOCOLS[contrast], deviations)
        image = Volume(rendered(head, weights, local), AFFINE)
        pose = similarity_matrix(rng.uniform(-0.2, 0.2, 3), rng.uniform(-15, 15, 3))
        shape = tuple(int(np.ceil(n / size)) for n, size in zip(SHAPE, zooms, strict=True))
        grid = Volume(np.zeros(shape, np.float32), AFFINE @ np.diag([*zooms, 1.0]))
        scan = resample(image, grid, inverse(pose), order=1)
        save_volume(scan.with_data(500 * rician(scan.data, NOISE, rng)), files[contrast])
    return files


def processor_seconds() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    workflow = init_preprocess_wf(scans(folder), PreprocessingSettings())
    workflow.base_dir = str(folder / f"work-{time.time_ns()}")
    before, begun = processor_seconds(), time.perf_counter()
    workflow.run(plugin="MultiProc", plugin_args={"n_procs": PROCESSES, "memory_gb": 8})
    wall = time.perf_counter() - begun
    print(f"{wall:.0f} s on {PROCESSES} processes; {processor_seconds() - before:.0f} s of processor")


if __name__ == "__main__":
    main()
