"""Targets from one or several people: does the mean of their sessions make harmonized images more accurate?

``python benchmarks/several_sessions.py --labels LABELS --cache HEADS --out several.jsonl`` harmonizes each head to
another site, whose target is measured in the session of one of five other people, or is the mean of these five. It
prints the PSNR of the brain against the truth: for the mean, and for single people their mean, minimum and maximum.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from stage import Someone, Stage, head_of, keep, kept, parser, someone, stage

from haca3_bids.evaluation.similarity import scaled_psnr_db
from haca3_bids.settings import CONTRASTS

Rows = list[dict[str, Any]]
OTHERS = 5


def measured(number: int, person: Someone, on: Stage) -> Rows:
    """A row of each contrast with the PSNR (dB) of the scan, for each single target, and for their mean."""
    here, there = on.pair(number)
    heads = [on.builtin, *(head for head in on.heads if head.name != person.name)]
    others = [someone(heads[turn % len(heads)], f"other {turn}") for turn in range(OTHERS)]
    sessions = [on.session_targets(other, there) for other in others]
    asked = []
    for contrast in CONTRASTS:
        single = [session[contrast] for session in sessions]
        theta = np.mean([target.theta for target in single], axis=0)
        asked += [*single, replace(single[0], theta=tuple(theta.tolist()))]
    sources = {contrast: person.scan(here[contrast], "source") for contrast in CONTRASTS}
    made, rows = on.harmonized(sources, asked), []
    for place, contrast in enumerate(CONTRASTS):
        truth = person.truth(there[contrast])
        head = head_of(truth)
        images = [sources[contrast], *(one.image for one in made[place * (OTHERS + 1) : (place + 1) * (OTHERS + 1)])]
        scan, *single, mean = (
            scaled_psnr_db(image.data, truth.data, person.anatomy.brain & head, head) for image in images
        )
        rows.append({"person": person.name, "contrast": contrast, "scan": scan, "single": single, "mean": mean})
        print(rows[-1], flush=True)
    return rows


def table(rows: Rows) -> None:
    """Print means over people."""
    print("\n| PSNR (dB) | as scanned | single people: mean | lowest | highest | mean of five |")
    print("|---|---|---|---|---|---|")
    for contrast in CONTRASTS:
        mine = [row for row in rows if row["contrast"] == contrast]
        if mine:
            single = np.array([row["single"] for row in mine])
            found = (single.mean(), single.min(axis=1).mean(), single.max(axis=1).mean())
            outer = [np.mean([row[key] for row in mine]) for key in ("scan", "mean")]
            print(f"| {contrast} | {' | '.join(f'{value:.1f}' for value in (outer[0], *found, outer[1]))} |")


def main() -> None:
    on = stage(parser(__doc__).parse_args())
    done = {row["person"] for row in kept(on.out)}
    for number, person, _ in on.people():
        if person.name not in done:
            keep(on.out, measured(number, person, on))
    table(kept(on.out))


if __name__ == "__main__":
    main()
