"""Overlap of the sessions of a run: preprocessing of one session while the networks process another.

Reads the log of a finished run of ``haca3-bids``. Prints how long the networks ran, for what part of that time other
sessions were preprocessed concurrently, and the total time of all steps. ``--make`` first creates a dataset of twelve
small sessions with slices of 4 mm from one scan::

    python benchmarks/overlap.py --make SCAN BIDS_DIR
    haca3-bids BIDS_DIR OUTPUT_DIR participant --nprocs 2 --omp-nthreads 1 --template builtin
    python benchmarks/overlap.py OUTPUT_DIR
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import numpy as np

from haca3_bids.volumes.volume import Volume, load_volume, save_volume

SESSIONS = 12
THICK = 4  # number of slices that are averaged to one
NOISE = 0.01  # relative to the largest intensity; makes sessions different
STAMP = r"(?P<at>[\d-]{10} [\d:]{8}),(?P<ms>\d{3})"
BEGINS = re.compile(rf'^{STAMP} .*\[Node\] Setting-up "\w+\.(?P<session>sub_\w+_wf)\.(?P<step>[\w.]+)"')
ENDS = re.compile(rf"^{STAMP} .*\[Job \d+\] Completed \(\w+\.(?P<session>sub_\w+_wf)\.(?P<step>[\w.]+)\)")


@dataclass(frozen=True)
class Step:
    """One step of one session; ``begin`` and ``end`` are times in seconds."""

    session: str
    name: str
    begin: float
    end: float

    @property
    def is_network(self) -> bool:
        return self.name.startswith("harmonize_wf")


@dataclass(frozen=True)
class Overlap:
    """The duration of a run and its parts, in seconds."""

    sessions: int
    whole: float
    networks: float  # while networks ran
    beside: float  # while networks and steps of another session ran
    steps: float  # sum over all steps


def steps_of(lines: Iterable[str]) -> Iterator[Step]:
    """The steps in the lines of a log."""
    begun: dict[tuple[str, str], float] = {}
    for line in lines:
        if found := BEGINS.match(line):
            begun[found["session"], found["step"]] = _seconds(found)
        elif (found := ENDS.match(line)) and (key := (found["session"], found["step"])) in begun:
            yield Step(*key, begun[key], _seconds(found))


def overlap(steps: Iterable[Step]) -> Overlap:
    """The overlap of the steps, from the intervals between their begins and ends."""
    steps = list(steps)
    moments = sorted({moment for step in steps for moment in (step.begin, step.end)})
    total: dict[str, float] = defaultdict(float)
    for begin, end in pairwise(moments):
        running = [step for step in steps if step.begin <= begin and end <= step.end]
        networks = {step.session for step in running if step.is_network}
        others = any(step.session not in networks for step in running)
        total["networks"] += (end - begin) * bool(networks)
        total["beside"] += (end - begin) * bool(networks and others)
    return Overlap(
        len({step.session for step in steps}),
        moments[-1] - moments[0],
        total["networks"],
        total["beside"],
        sum(step.end - step.begin for step in steps),
    )


def make(scan: Path, folder: Path) -> None:
    """Create twelve sessions from one T1w scan, with thick slices and different noise."""
    volume = load_volume(scan)
    thick = volume.data.shape[2] // THICK
    data = volume.data[:, :, : thick * THICK].reshape(*volume.data.shape[:2], thick, THICK).mean(axis=3)
    affine = volume.affine @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, THICK, (THICK - 1) / 2], [0, 0, 0, 1]])
    for number in range(1, SESSIONS + 1):
        noise = np.random.default_rng(number).normal(0, NOISE * data.max(), data.shape)
        path = folder / f"sub-{number:02}/anat/sub-{number:02}_T1w.nii.gz"
        path.parent.mkdir(parents=True)
        save_volume(Volume(np.abs(data + noise).astype(np.float32), affine), path)
    description = {"Name": "Twelve small sessions", "BIDSVersion": "1.9.0"}
    (folder / "dataset_description.json").write_text(json.dumps(description))


def _seconds(found: re.Match[str]) -> float:
    return datetime.fromisoformat(found["at"]).timestamp() + int(found["ms"]) / 1000


def main(words: list[str] | None = None) -> None:
    """Print the overlap of the last run of an output folder, or create the input of a run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="output folder of haca3-bids; with --make, the folder to create")
    parser.add_argument("--make", type=Path, metavar="SCAN", help="T1w scan of about 1 mm to copy")
    args = parser.parse_args(words)
    if args.make:
        make(args.make, args.folder)
        return
    log = max(args.folder.glob("logs/*/log.txt"))
    found = overlap(steps_of(log.read_text().splitlines()))
    print(f"{found.sessions} sessions in {found.whole:.0f} s; their steps one after the other: {found.steps:.0f} s.")
    share = found.beside / max(found.networks, 1e-9)
    print(f"Networks ran for {found.networks:.0f} s, in {share:.0%} of that time beside steps of another session.")


if __name__ == "__main__":
    main()
