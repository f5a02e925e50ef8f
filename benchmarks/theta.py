"""Theta: do sites form clusters within a contrast, and does theta of one volume agree over slices and people?

``python benchmarks/theta.py --labels LABELS --cache HEADS --out theta.jsonl`` encodes ordinary scans of every head
and the built-in one at all eight sites. It prints, for each contrast, the silhouette of theta grouped by site, and
the spread of theta over slices of a volume, over people at a site, and between sites.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from stage import Someone, Stage, codes, keep, kept, parser, someone, stage

from haca3_bids.evaluation.separation import silhouette
from haca3_bids.settings import CONTRASTS

WANTED = 0.5


def encoded(person: Someone, on: Stage) -> list[dict[str, Any]]:
    """Theta of every contrast at every site: the mean over slices, and their standard deviation."""
    rows = []
    for place, site in enumerate(on.sites):
        for contrast in CONTRASTS:
            theta = codes(person.scan(site[contrast], str(place)), on)[:, :2]
            row = {"person": person.name, "site": place, "contrast": contrast}
            rows.append(row | {"theta": theta.mean(axis=0).tolist(), "slices": theta.std(axis=0).tolist()})
    return rows


def table(rows: list[dict[str, Any]]) -> None:
    """Print clusters and spreads."""
    people = len({row["person"] for row in rows})
    print(f"\n{people} people at {len({row['site'] for row in rows})} sites; wanted: a silhouette above {WANTED}\n")
    print(
        "| contrast | silhouette of sites | spread over slices | over people | between sites |\n|---|---|---|---|---|"
    )
    for contrast in CONTRASTS:
        mine = [row for row in rows if row["contrast"] == contrast]
        theta, place = np.array([row["theta"] for row in mine]), np.array([row["site"] for row in mine])
        centres = np.array([theta[place == one].mean(axis=0) for one in np.unique(place)])
        over_people = np.sqrt(np.mean([theta[place == one].var(axis=0).sum() for one in np.unique(place)]))
        over_slices = np.sqrt(np.mean([np.square(row["slices"]).sum() for row in mine]))
        between = np.sqrt(centres.var(axis=0).sum())
        values = (silhouette(theta, place.tolist()), over_slices, over_people, between)
        print(f"| {contrast} | {' | '.join(f'{value:.2f}' for value in values)} |")
    everything = np.array([row["theta"] for row in rows])
    print(f"\nSilhouette of contrasts: {silhouette(everything, [row['contrast'] for row in rows]):.2f}")


def main() -> None:
    on = stage(parser(__doc__).parse_args())
    done = {row["person"] for row in kept(on.out)}
    for person in map(someone, on.share((*on.heads, on.builtin))):
        if person.name not in done:
            keep(on.out, encoded(person, on))
            print(f"{person.name} is encoded", flush=True)
    table(kept(on.out))


if __name__ == "__main__":
    main()
