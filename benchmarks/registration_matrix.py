"""Registration to the template of simulated heads in known positions: ``registration_matrix.py CSV [LABEL_MAP ...]``.

72 cases: coverage x contrast x slice thickness, with alternating tilt (0 to 60 degrees), offset (0 to 60 mm) and head.
Cases that are in the table already are skipped, so that a run can be interrupted and resumed. The true position of a
head is that found for its upright, whole, 3D scan of the same contrast. The error of a case is the deviation from that
position after the known motion: the distance at the centre of the brain, and the angle. About 27 s on one core per
case.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from simulated_scans import COVERAGES, THICKNESSES_MM, Case, scan_of, upright
from stage import part_of

from haca3_bids.physics.anatomy import Anatomy
from haca3_bids.preprocessing.quality import registration_quality
from haca3_bids.preprocessing.registration import centre_of
from haca3_bids.preprocessing.session import for_registration, poor_registration, registered
from haca3_bids.preprocessing.template import DEFAULT, Template, load_template
from haca3_bids.preprocessing.transforms import (
    Matrix,
    displacement_mm,
    inverse,
    rigid_part,
    rotation_deg,
    similarity_matrix,
)
from haca3_bids.quality.thresholds import PASS, THRESHOLDS
from haca3_bids.settings import CONTRASTS, PreprocessingSettings
from haca3_bids.training.heads import load_heads
from haca3_bids.volumes.volume import Volume

TILTS_DEG = (0.0, 20.0, 40.0, 60.0)
OFFSETS_MM = (0.0, 30.0, 60.0)
LIMIT_MM, LIMIT_DEG = 1.0, 1.0
DECOY_MM, DECOY_DEG = 15.0, 20.0  # displacements of the result that must be flagged
SETTINGS = PreprocessingSettings(force=("registration",))  # poor registrations are reported, not raised
COLUMNS = (
    "case", "coverage", "contrast", "thickness_mm", "tilt_deg", "offset_mm", "head", "error_mm", "error_deg", "flagged",
    "similarity", "distinctness", "uncertainty_deg", "brain_in_head", "brain_covered", "seconds",
    "shifted_similarity", "shifted_distinctness", "turned_similarity", "turned_distinctness", "decoys_flagged",
)  # fmt: skip


def cases(heads: int) -> list[Case]:
    """All combinations of coverage, contrast and thickness, with alternating tilts, offsets and heads.

    They are shuffled, so that an interrupted run is a random sample.
    """
    made = []
    for number, (coverage, contrast, thickness) in enumerate(product(COVERAGES, CONTRASTS, THICKNESSES_MM)):
        tilt, offset = TILTS_DEG[(number + number // 12) % 4], OFFSETS_MM[(number // 4) % 3]
        made.append(Case(coverage, contrast, thickness, tilt, offset, (number + number // 3) % heads, number))
    return [made[index] for index in np.random.default_rng(0).permutation(len(made))]


def decoys(reference: Volume, template: Template, found: Matrix, seed: int) -> dict[str, object]:
    """Quality figures of the result after a shift and after a rotation, which must both be flagged."""
    rng = np.random.default_rng(seed)
    centre = centre_of(template.brain, template.brain.data > 0.5)
    row: dict[str, object] = {}
    flagged = 0
    for name, turn_deg, shift_mm in (("shifted", 0.0, DECOY_MM), ("turned", DECOY_DEG, 0.0)):
        one, other = (vector / np.linalg.norm(vector) for vector in rng.normal(size=(2, 3)))
        moved = similarity_matrix(np.radians(turn_deg) * one, shift_mm * other, 0.0, centre)
        quality = registration_quality(reference, template, found @ moved)
        row[f"{name}_similarity"] = round(quality.similarity, 4)
        row[f"{name}_distinctness"] = round(quality.distinctness, 4)
        flagged += poor_registration(quality) is not None
    return row | {"decoys_flagged": flagged}


def measured(case: Case, anatomy: Anatomy, template: Template, place: Matrix) -> dict[str, object]:
    """The row of one case."""
    centre = centre_of(template.brain, template.brain.data > 0.5)
    scan, pose = scan_of(anatomy, case)
    begun = time.process_time()
    reference = for_registration(scan, SETTINGS)
    alignment, facts = registered(reference, template, SETTINGS)
    seconds = time.process_time() - begun
    change = inverse(rigid_part(pose @ place, centre)) @ alignment.rigid  # a child's scale is no error
    figures = {key: round(float(getattr(facts, key)), 4) for key in COLUMNS[10:15]}
    return {
        **{key: getattr(case, key) for key in COLUMNS[1:7]},
        "case": case.name,
        "error_mm": round(displacement_mm(change, centre), 3),
        "error_deg": round(rotation_deg(change), 3),
        "flagged": int(bool(facts.problem)),
        **figures,
        "seconds": round(seconds, 1),
        **decoys(reference, template, alignment.affine, case.seed),
    }


def done(file: Path) -> list[dict[str, str]]:
    """The rows of an earlier run."""
    return list(csv.DictReader(file.open())) if file.exists() else []


def to_be_looked_at(row: dict[str, str], kind: str = "") -> bool:
    """Whether the quality figures of a row, or of its displaced positions, are not of grade "pass"."""
    figures = ("similarity", "distinctness") if kind else ("similarity", "distinctness", "uncertainty_deg")
    return any(THRESHOLDS[f"registration_{name}"].grade(float(row[kind + name]))[0] != PASS for name in figures)


def summary(rows: Sequence[dict[str, str]], words: Callable[[str], None] = print) -> None:
    """Report cases within the limits, failures that were not flagged, false alarms and errors by coverage."""
    good = [float(r["error_mm"]) < LIMIT_MM and float(r["error_deg"]) < LIMIT_DEG for r in rows]
    flagged = [r["flagged"] == "1" or to_be_looked_at(r) for r in rows]
    missed = [r for r, ok, flag in zip(rows, good, flagged, strict=True) if not ok and not flag]
    alarms = sum(ok and flag for ok, flag in zip(good, flagged, strict=True))
    words(f"{len(rows)} cases; within {LIMIT_MM} mm and {LIMIT_DEG} degree: {100 * np.mean(good):.1f} %")
    words(f"failures: {good.count(False)}, not flagged: {len(missed)}; false alarms: {alarms} of {sum(good)}")
    tried = [r for r in rows if r["decoys_flagged"]]
    if tried:
        refused = sum(int(r["decoys_flagged"]) for r in tried)
        reported = sum(to_be_looked_at(r, kind) for r in tried for kind in ("shifted_", "turned_"))
        words(
            f"places {DECOY_MM:g} mm or {DECOY_DEG:g} degrees off: {refused} of {2 * len(tried)} refused, "
            f"{reported} refused or marked to be looked at"
        )
    for coverage in COVERAGES:
        own = [r for r in rows if r["coverage"] == coverage]
        if own:
            mm, deg = (np.array([float(r[key]) for r in own]) for key in ("error_mm", "error_deg"))
            words(
                f"  {coverage:<15} median {np.median(mm):.2f} mm {np.median(deg):.2f} deg, "
                f"worst {mm.max():.2f} mm {deg.max():.2f} deg"
            )
    for row in missed:
        words(f"  not flagged: {row['case']}: {row['error_mm']} mm, {row['error_deg']} degrees")


def own_place(case: Case, anatomy: Anatomy, template: Template, folder: Path) -> Matrix:
    """The position found for the upright, whole, 3D scan of this head and contrast; cached in ``folder``."""
    file = folder / f"place_{case.head}_{case.contrast}.npy"
    if not file.exists():
        scan, _ = scan_of(anatomy, upright(case.contrast, case.head))
        place = registered(for_registration(scan, SETTINGS), template, SETTINGS)[0].rigid
        words = f"{rotation_deg(place):.2f} degrees, {displacement_mm(place, (0, -18, 8)):.2f} mm from the template"
        print(f"head {case.head}, {case.contrast}: {words}", flush=True)
        np.save(file, place)
    return np.asarray(np.load(file))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("csv", type=Path, help="table of results; cases that it contains are skipped")
    parser.add_argument("labels", nargs="*", type=Path, metavar="LABEL_MAP")
    parser.add_argument("--part", type=part_of, default="1/1", help="1/2, 2/2: every second case, for two processes")
    given = parser.parse_args()
    part, parts = given.part
    file, folder = given.csv, given.csv.parent / "heads"
    heads = load_heads({path.name.split(".")[0]: path for path in given.labels}, folder)
    template = load_template(DEFAULT)
    known = {row["case"] for row in done(file)}
    for case in (case for case in cases(len(heads))[part - 1 :: parts] if case.name not in known):
        head = heads[case.head]
        row = measured(case, head, template, own_place(case, head, template, folder))
        fresh = not file.exists()
        with file.open("a", newline="") as out:
            writer = csv.DictWriter(out, COLUMNS)
            if fresh:
                writer.writeheader()
            writer.writerow(row)
        print(*(row[key] for key in ("case", *COLUMNS[7:12], "decoys_flagged")), flush=True)
    summary(done(file))


if __name__ == "__main__":
    main()
