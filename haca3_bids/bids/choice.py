"""The choice among several scans of a contrast in a session: the criteria, and their descriptions."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from haca3_bids.errors import InputOutputFailure
from haca3_bids.volumes.header import Geometry, check_geometry

WHOLE_HEAD_MM = 100.0  # smallest extent of a scan along every axis; less is a slab
NORMALIZED = re.compile(r"(?<!no)(?<!non)(?<!not)(?<!un)norm")  # in the label of a reconstruction
STEP_MM = 0.1  # voxel sizes closer than this count as equal


@dataclass(frozen=True)
class Candidate:
    """A scan that could be chosen for its contrast."""

    path: Path
    entities: Mapping[str, str]
    geometry: Geometry | None  # None: not one 3D volume, or the header is inconsistent
    image_type: Sequence[str] = ()


def candidate(path: Path, entities: Mapping[str, str], image_type: Sequence[str] = ()) -> Candidate:
    """A candidate with its geometry, which is None for an unusable scan, so that any other is preferred."""
    try:
        geometry = check_geometry(path)
    except InputOutputFailure:  # it may be the best one, once the disk is back
        raise
    except Exception:  # check_session reports it if this scan is chosen
        return Candidate(path, entities, None, image_type)
    return Candidate(path, entities, geometry, image_type)


def _readable(scan: Candidate) -> float:
    return 0.0 if scan.geometry is not None else 1.0


def _whole_head(scan: Candidate) -> float:
    return 0.0 if scan.geometry and min(scan.geometry.extent_mm, default=0.0) >= WHOLE_HEAD_MM else 1.0


def _reconstruction(scan: Candidate) -> float:
    label = scan.entities.get("rec", "").lower()
    if not label:
        return 0.0 if "NORM" in scan.image_type else 1.0
    return 0.0 if NORMALIZED.search(label) else 2.0


def _thickest(scan: Candidate) -> float:
    return round(max(scan.geometry.zooms_mm[:3]) / STEP_MM) if scan.geometry else 0.0


def _voxel_volume(scan: Candidate) -> float:
    if not scan.geometry:
        return 0.0
    a, b, c = scan.geometry.zooms_mm[:3]
    return round(a * b * c / STEP_MM**2)


def _echo(scan: Candidate) -> float:
    label = scan.entities.get("echo", "0")
    return float(label) if label.isdigit() else 0.0


def _run(scan: Candidate) -> float:
    label = scan.entities.get("run", "0")
    return -float(label) if label.isdigit() else 0.0


RULE: Sequence[tuple[Callable[[Candidate], float], str]] = (
    (_readable, "it is one 3D volume with a consistent header"),
    (_whole_head, "it covers the whole head (100 mm or more along every axis)"),
    (_thickest, "its voxels are smaller along their longest edge"),
    (
        _reconstruction,
        "it is corrected for coil sensitivity (rec-norm, or NORM in ImageType), or a plain reconstruction",
    ),
    (_voxel_volume, "its voxels are smaller"),
    (_echo, "its echo is earlier"),
    (_run, "its run is later (a scan is usually repeated because the first one failed)"),
)


def choose(candidates: Sequence[Candidate]) -> tuple[Candidate, str, dict[Path, str]]:
    """The scan chosen for a contrast, the reason, and the reason against each of the others.

    The rule compares scans by the criteria of ``RULE``, one after the other; the first that differs between
    two scans decides. If none does, the name that comes first in the alphabet wins, so that the choice does not depend
    on the order of the files in a folder.
    """
    ordered = sorted(candidates, key=lambda scan: (*(criterion(scan) for criterion, _ in RULE), scan.path.name))
    best = ordered[0]
    if len(ordered) == 1:
        return best, "the only one of its contrast", {}
    against = {other.path: f"{best.path.name} is used: {_difference(best, other)}" for other in ordered[1:]}
    return best, f"preferred to {ordered[1].path.name}: {_difference(best, ordered[1])}", against


def _difference(best: Candidate, other: Candidate) -> str:
    for criterion, words in RULE:
        if criterion(best) != criterion(other):
            return words
    return "they meet the same criteria, and its name comes first in the alphabet"
