"""Free space on the disks of a run: a warning before it begins, and a check before each session."""

import logging
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

from haca3_bids.bids.discover import Session
from haca3_bids.bids.record import record_path
from haca3_bids.errors import InputOutputFailure
from haca3_bids.execution.task import Run

SCRATCH_MB = 80.0  # of each scan; measured, as the next one, with scans of 1 to 3 mm on the templates' grids
IMAGE_MB = 22.0  # of each preprocessed or harmonized image
LEAST = 0.5  # fraction of these that a session needs in any case
HINT = "Free some space, or choose an OUTPUT_DIR or --work-dir on another disk, and run the same command again."
LOGGER = logging.getLogger("haca3_bids")


def warn_if_short(run: Run, sessions: Sequence[Session]) -> None:
    """Log a warning if the outputs of all sessions that have no record yet will probably not fit."""
    output_dir = run.settings.output_dir
    left = [session for session in sessions if not record_path(output_dir, session).exists()]
    need, free = sum(_output_mb(run, session) for session in left), _free_mb(output_dir)
    if free < need:
        sentence = "The disk of %s has %.0f MB of free space, and %d sessions need about %.0f MB. %s"
        LOGGER.warning(sentence, output_dir, free, len(left), need, HINT)


def check_room(run: Run, session: Session) -> None:
    """Raise InputOutputFailure if output and scratch of one session cannot fit on their disks."""
    needs = {
        run.settings.output_dir: LEAST * _output_mb(run, session),
        run.work: LEAST * SCRATCH_MB * len(session.images),
    }
    disks = {folder: folder.stat().st_dev for folder in needs}
    for folder, disk in disks.items():
        need, free = sum(needs[other] for other in needs if disks[other] == disk), _free_mb(folder)
        if free < need:
            raise InputOutputFailure(
                f"No space left: the disk of {folder} has {free:.0f} MB of free space, and the session needs at least "
                f"{need:.0f} MB.",
                HINT,
            )


def _output_mb(run: Run, session: Session) -> float:
    return IMAGE_MB * (len(session.images) + len(run.targets[session.name]))


def _free_mb(folder: Path) -> float:
    """Free space; infinite where the file system does not know its size."""
    usage = shutil.disk_usage(folder)
    return usage.free / 1e6 if usage.total else math.inf
