"""Artifact awareness: attention to a degraded source, robustness of the output, and detection of artifacts by eta.

``python benchmarks/artifacts.py --labels LABELS --cache HEADS --out artifacts.jsonl`` degrades one of four sources step
by step with noise, motion or ghosts, and harmonizes to its contrast at the target site. It prints the attention to that
source and the PSNR of the output in the brain at each level. Then it prints the area under the ROC curve of eta, for
ordinary scans against the same scans with noise, motion or ghosts, with one volume for each head and site.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score
from stage import Someone, Stage, head_of, keep, kept, parser, stage

from haca3_bids.evaluation.similarity import scaled_psnr_db
from haca3_bids.physics.degradation import EVENTS, LADDERS, steps
from haca3_bids.physics.scanner import Imperfections, draw_acquisition
from haca3_bids.settings import CONTRASTS

Rows = list[dict[str, Any]]

CLEAN = Imperfections(seed=1, bias=0.03, noise=0.01)
LEVELS = {artifact: steps(artifact, CLEAN) for artifact in LADDERS}  # from clean (the same for all) to useless
BAD: dict[str, dict[str, Any]] = {
    "noise": {"noise": 0.16},
    "motion": {"motion_voxels": 6.0, "motion_events": EVENTS},
    "ghosts": {"ghost": 0.8},
}
ORDINARY = "ordinary"
WITHIN_DB, WANTED_AUC = 1.0, 0.95


def falls(values: Sequence[float]) -> bool:
    """Whether the values never increase, and decrease at least once."""
    steps = np.diff(np.asarray(values, np.float64))
    return bool(len(steps) and (steps <= 0).all() and (steps < 0).any())


def curves(contrast: str, number: int, person: Someone, other: Someone, on: Stage) -> Rows:
    """Rows of attention to the degraded source and PSNR of the output, for every artifact and level."""
    here, there = on.pair(number)
    clean = {name: person.scan(here[name], "clean", CLEAN) for name in CONTRASTS}
    target, truth = on.target(other, there[contrast]), person.truth(there[contrast])
    head, brain, rows = head_of(truth), person.anatomy.brain, []
    found: dict[Imperfections, dict[str, float]] = {}
    for kind, levels in LEVELS.items():
        for level, how in enumerate(levels):
            if how not in found:
                worse = {contrast: person.scan(here[contrast], "", how)}
                (image,) = on.harmonized(clean | worse, [target], brain)
                psnr = scaled_psnr_db(image.image.data, truth.data, brain & head, head)
                found[how] = {"attention": image.sources[contrast].attention or 0.0, "brain": psnr}
                print(contrast, kind, level, found[how], flush=True)
            row = {"what": f"curve {contrast}", "person": person.name, "kind": kind, "level": level}
            rows.append(row | found[how])
    return rows


def etas(number: int, person: Someone, on: Stage) -> Rows:
    """Rows of eta of an ordinary scan and of degraded ones at every site; contrasts alternate."""
    rows: Rows = []
    for place, site in enumerate(on.sites):
        contrast = CONTRASTS[(number + place) % len(CONTRASTS)]
        chance = person.chance(f"{contrast} {place}")
        ordinary = replace(draw_acquisition(chance), phase_axis=int(chance.integers(3)))
        for kind, changed in {ORDINARY: {}, **BAD}.items():
            scan = person.scan(site[contrast], str(place), replace(ordinary, **changed))
            value = badness(on.encoded(scan, contrast).eta, contrast, on)
            row = {"what": "eta", "person": person.name, "site": place, "contrast": contrast, "kind": kind}
            rows.append(row | {"eta": value})
        print(person.name, f"site {place}", {row["kind"]: round(row["eta"], 3) for row in rows[-len(BAD) - 1 :]})
    return rows


def badness(eta: Sequence[float], contrast: str, on: Stage) -> float:
    """Eta if it is one number; for HACA3 its distance from eta of the built-in reference."""
    if len(eta) == 1:
        return eta[0]
    return float(np.linalg.norm(np.subtract(eta, on.checkpoint.references[contrast].eta)))


def table(rows: Rows) -> None:
    """Print curves, verdicts and areas under the curve."""
    print("\n| source | kind | attention to it, clean to worst | falls | output, brain (dB) | largest loss (dB) |")
    print("|---|---|---|---|---|---|")
    for contrast in CONTRASTS:
        for kind in LEVELS:
            mine = [row for row in rows if (row["what"], row["kind"]) == (f"curve {contrast}", kind)]
            if mine:
                print(f"| {contrast} | {kind} | {_curve(mine)} |")
    print(f"\nWanted: falling, and a loss of at most {WITHIN_DB} dB.")
    _areas([row for row in rows if row["what"] == "eta"])


def _curve(rows: Rows) -> str:
    """Table cells: means over people at each level."""
    levels = [[row for row in rows if row["level"] == level] for level in sorted({row["level"] for row in rows})]
    attention, psnr = ([float(np.mean([r[key] for r in some])) for some in levels] for key in ("attention", "brain"))
    shares, decibels = (" ".join(f"{v:.{digits}f}" for v in many) for many, digits in ((attention, 3), (psnr, 1)))
    return f"{shares} | {'yes' if falls(attention) else 'no'} | {decibels} | {psnr[0] - min(psnr):.2f}"


def _areas(rows: Rows) -> None:
    """Print the area under the curve for every artifact, for all contrasts together and for each."""
    volumes = len([row for row in rows if row["kind"] == ORDINARY])
    print(f"\nEta of {volumes} ordinary volumes against the same with artifacts, area under the curve:\n")
    print(f"| | all | {' | '.join(CONTRASTS)} |\n|---|---|{'---|' * len(CONTRASTS)}")
    for bad in BAD:
        mine = [row for row in rows if row["kind"] in (ORDINARY, bad)]
        areas = [_area(mine), *(_area([row for row in mine if row["contrast"] == c]) for c in CONTRASTS)]
        print(f"| {bad} | {' | '.join(areas)} |")
    print(f"\nWanted: {WANTED_AUC} each, of all contrasts together.")


def _area(rows: Rows) -> str:
    if not rows:
        return ""
    return f"{roc_auc_score([row['kind'] != ORDINARY for row in rows], [row['eta'] for row in rows]):.3f}"


def main() -> None:
    options = parser(__doc__)
    turns = "sources that get worse, for every head; default: one for each head, in turn; none: eta alone"
    options.add_argument("--degraded", nargs="*", choices=CONTRASTS, help=turns)
    given = options.parse_args()
    on = stage(given)
    done = {(row["what"], row["person"]) for row in kept(on.out)}
    for number, person, other in on.people():
        if ("eta", person.name) not in done:
            keep(on.out, etas(number, person, on))
        in_turn = [CONTRASTS[number % len(CONTRASTS)]]
        for contrast in in_turn if given.degraded is None else given.degraded:
            if (f"curve {contrast}", person.name) not in done:
                keep(on.out, curves(contrast, number, person, other, on))
    table(kept(on.out))


if __name__ == "__main__":
    main()
