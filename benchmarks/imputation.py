"""Imputation: each contrast of the target site from the three others, and from each single other contrast.

``python benchmarks/imputation.py --labels LABELS --cache HEADS --out imputation.jsonl`` prints mean PSNR over people
in the brain, after scaling by the best factor, against the noise-free truth.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from stage import Someone, Stage, head_of, keep, kept, parser, stage

from haca3_bids.evaluation.similarity import scaled_psnr_db
from haca3_bids.settings import CONTRASTS

OTHERS = "the three others"
WANTED_DB = 21.0  # mean of contrasts, from the three others


def asked(done: set[tuple[str, str]]) -> list[tuple[tuple[str, ...], list[str]]]:
    """Sets of sources with their target contrasts, without the pairs (from, to) that are ``done``."""
    three = [(tuple(c for c in CONTRASTS if c != wanted), [wanted]) for wanted in CONTRASTS]
    single = [((one,), [c for c in CONTRASTS if c != one]) for one in CONTRASTS]
    left = [(names, [to for to in wanted if (said(names), to) not in done]) for names, wanted in three + single]
    return [(names, wanted) for names, wanted in left if wanted]


def said(names: tuple[str, ...]) -> str:
    """The name of a set of sources in the table."""
    return names[0] if len(names) == 1 else OTHERS


def measured(number: int, person: Someone, other: Someone, on: Stage, done: set[tuple[str, str]]) -> None:
    """Measure and store one row for each target contrast and set of sources."""
    missing = asked(done)
    if not missing:
        return
    here, there = on.pair(number)
    scans = {contrast: person.scan(here[contrast], "source") for contrast in CONTRASTS}
    targets = {contrast: on.target(other, there[contrast]) for contrast in CONTRASTS}
    truths = {contrast: person.truth(there[contrast]) for contrast in CONTRASTS}
    brain = person.anatomy.brain
    for names, wanted in missing:
        images = on.harmonized({name: scans[name] for name in names}, [targets[to] for to in wanted])
        for to, image in zip(wanted, images, strict=True):
            head = head_of(truths[to])
            found = scaled_psnr_db(image.image.data, truths[to].data, brain & head, head)
            keep(on.out, [{"person": person.name, "sources": said(names), "contrast": to, "brain": found}])
            print(person.name, f"{to} from {' '.join(names)}: {found:.1f} dB", flush=True)


def table(rows: list[dict[str, Any]]) -> None:
    """Print means over people."""
    people = len({row["person"] for row in rows})
    print(f"\nPSNR (dB) in the brain, mean over {people} people; wanted of {OTHERS}: {WANTED_DB:g} on the mean\n")
    print(f"| from | {' | '.join(f'to {c}' for c in CONTRASTS)} | mean |\n|---|{'---|' * (len(CONTRASTS) + 1)}")
    for sources in (OTHERS, *CONTRASTS):
        means = [_mean(rows, sources, contrast) for contrast in CONTRASTS]
        cells = ["" if np.isnan(value) else f"{value:.1f}" for value in (*means, float(np.nanmean(means)))]
        print(f"| {sources} | {' | '.join(cells)} |")


def _mean(rows: list[dict[str, Any]], sources: str, contrast: str) -> float:
    """The mean over people; NaN if a contrast would be computed from itself."""
    mine = [row["brain"] for row in rows if (row["sources"], row["contrast"]) == (sources, contrast)]
    return float(np.mean(mine)) if mine else float("nan")


def main() -> None:
    on = stage(parser(__doc__).parse_args())
    for number, person, other in on.people():
        done = {(row["sources"], row["contrast"]) for row in kept(on.out) if row["person"] == person.name}
        measured(number, person, other, on, done)
    table(kept(on.out))


if __name__ == "__main__":
    main()
