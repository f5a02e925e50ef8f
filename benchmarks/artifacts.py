"""Artifact awareness: does attention leave a source that gets worse, does the output stay, does eta see it?

``python benchmarks/artifacts.py --labels LABELS --cache HEADS --out artifacts.jsonl --every 16`` degrades one of the
four sources more and more, by noise or by motion, and harmonizes to the contrast of that source at the target site:
one curve a contrast and a kind. Then the area under the curve with which eta tells clean volumes from degraded ones.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from stage import Someone, Stage, codes, head_of, keep, kept, made, parser, prepared, stage

from haca3_bids.evaluation.separation import auc, falls
from haca3_bids.physics.scanner import Imperfections, draw_acquisition
from haca3_bids.settings import CONTRASTS

CLEAN = Imperfections(seed=1, bias=0.03, noise=0.01)
LEVELS = {  # from clean to useless
    "noise": [replace(CLEAN, noise=noise) for noise in (0.01, 0.05, 0.1, 0.16, 0.25)],
    "motion": [replace(CLEAN, motion_voxels=v, motion_events=4 if v else 0) for v in (0.0, 2.0, 4.0, 7.0, 10.0)],
}
WITHIN_DB, WANTED_AUC = 1.5, 0.95
BAD = {"noise": replace(CLEAN, noise=0.16), "motion": replace(CLEAN, motion_voxels=6.0, motion_events=4),
       "ghost": replace(CLEAN, ghost=0.7)}  # fmt: skip


def curves(contrast: str, number: int, person: Someone, other: Someone, on: Stage) -> list[dict[str, Any]]:
    """Attention to the degraded source and dB of the output, for every kind and level."""
    here, there = on.pair(number)
    clean = {name: person.scan(here[name], "clean", CLEAN) for name in CONTRASTS}
    target, truth = on.target(other, there[contrast]), person.truth(there[contrast])
    mask, rows = head_of(truth), []
    ready = prepared(clean, on)
    for kind, levels in LEVELS.items():
        for level, how in enumerate(levels):
            worse = {contrast: person.scan(here[contrast], "", how)}
            (image,) = made(clean | worse, [target], on, ready | prepared(worse, on))
            found = image.against(truth, mask)
            row = {"what": f"curve {contrast}", "person": person.name, "kind": kind, "level": level}
            rows.append(row | {"attention": image.attention[contrast], "psnr_db": found.psnr_db})
            print(contrast, kind, level, f"{image.attention[contrast]:.2f} {found.psnr_db:.1f} dB", flush=True)
    return rows


def etas(number: int, person: Someone, on: Stage) -> list[dict[str, Any]]:
    """Eta of an ordinary and of degraded volumes at every site, of one contrast each: people take turns."""
    rows = []
    for place, site in enumerate(on.sites):
        contrast = CONTRASTS[(number + place) % len(CONTRASTS)]
        ordinary = replace(draw_acquisition(person.chance(f"{contrast} {place}")), noise=0.02)
        for kind, how in {"clean": ordinary, **BAD}.items():
            eta = codes(person.scan(site[contrast], str(place), how), on)[:, 2:].mean(axis=0)
            row = {"what": "eta", "person": person.name, "site": place, "contrast": contrast, "kind": kind}
            rows.append(row | {"eta": eta.tolist()})
    return rows


def table(rows: list[dict[str, Any]], on: Stage) -> None:
    """Print curves, verdicts and areas under the curve."""
    print("\n| source | kind | attention to it, clean to worst | falls | output (dB) | largest loss (dB) |")
    print("|---|---|---|---|---|---|")
    for contrast in CONTRASTS:
        for kind in LEVELS:
            mine = [row for row in rows if (row["what"], row.get("kind")) == (f"curve {contrast}", kind)]
            if mine:
                print(f"| {contrast} | {kind} | {_curve(mine)} |")
    print(f"\nWanted: falling, and a loss of at most {WITHIN_DB} dB.")
    clean = {contrast: np.array(reference.eta) for contrast, reference in on.checkpoint.references.items()}
    etas = [row for row in rows if row["what"] == "eta"]
    found = [(row["kind"], float(np.linalg.norm(np.array(row["eta"]) - clean[row["contrast"]]))) for row in etas]
    good = [value for kind, value in found if kind == "clean"]
    for bad in BAD:
        print(f"AUC of eta's distance from the references', clean against {bad}:", end=" ")
        print(f"{auc(good, [value for kind, value in found if kind == bad]):.3f}")
    print(f"against all: {auc(good, [value for kind, value in found if kind != 'clean']):.3f} (wanted: {WANTED_AUC})")


def _curve(rows: list[dict[str, Any]]) -> str:
    """Means over people, level by level."""
    levels = [[row for row in rows if row["level"] == level] for level in sorted({row["level"] for row in rows})]
    attention, psnr = ([float(np.mean([r[key] for r in some])) for some in levels] for key in ("attention", "psnr_db"))
    shares, decibels = (" ".join(f"{v:.{digits}f}" for v in many) for many, digits in ((attention, 3), (psnr, 1)))
    return f"{shares} | {'yes' if falls(attention) else 'no'} | {decibels} | {psnr[0] - min(psnr):.2f}"


def main() -> None:
    options = parser(__doc__)
    options.add_argument(
        "--degraded", nargs="*", choices=CONTRASTS, default=list(CONTRASTS), help="sources in turn; none: eta alone"
    )
    given = options.parse_args()
    on = stage(given)
    done = {(row["what"], row["person"]) for row in kept(on.out)}
    for number, person, other in on.people():
        if ("eta", person.name) not in done:
            keep(on.out, etas(number, person, on))
        for contrast in given.degraded:
            if (f"curve {contrast}", person.name) not in done:
                keep(on.out, curves(contrast, number, person, other, on))
    table(kept(on.out), on)


if __name__ == "__main__":
    main()
