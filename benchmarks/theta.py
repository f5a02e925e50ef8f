"""Accuracy of theta, clustering of sites in theta, and identification of the site of harmonized brains.

``python benchmarks/theta.py --labels LABELS --cache HEADS --out theta.jsonl`` scans people at all sites in all
contrasts and harmonizes every session to the contrasts of scans of the built-in head at one site. It prints, for each
contrast, the error of the measured tissue tables, the silhouette of theta grouped by site, and the accuracy of a probe
of the site before and after harmonization: logistic regression on a few percentiles of tissue intensities in the brain,
cross-validated by person. ``--no-probe`` measures theta alone, in a tenth of the time.

The error of a table is that of the noise-free image computed from it and the true anatomy: root mean square over voxels
of the brain and of the head, relative to the range of the image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import silhouette_score
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from stage import Site, Someone, Stage, keep, kept, parser, someone, stage

from haca3_bids.harmonization.target import Target
from haca3_bids.networks.theta import DARKEST
from haca3_bids.physics.anatomy import FULL, Anatomy
from haca3_bids.physics.render import tissue_weights
from haca3_bids.physics.signal import Protocol
from haca3_bids.physics.tissues import TISSUES
from haca3_bids.settings import CONTRASTS

Rows = list[dict[str, Any]]

WANTED = 0.5  # silhouette of sites
PEOPLE = 6
PROBED = ("csf", "grey", "white")  # tissues
PURE = 0.9  # smallest tissue fraction of voxels
PERCENTILES = (10, 50, 90)
BEFORE, AFTER = "as scanned", "harmonized"
ALL = "all"


def everyone(on: Stage, count: int) -> Sequence[Someone]:
    """``count`` people with alternating heads, the built-in one included, and different tissue values and textures."""
    heads = [*on.heads, on.builtin]
    named = [(heads[n % len(heads)], f"{heads[n % len(heads)].name} {n // len(heads)}") for n in range(count)]
    return on.share([someone(head, name) for head, name in named])


def intensities(image: NDArray[np.float32], anatomy: Anatomy) -> list[float]:
    """Features for the probe: percentiles of each tissue, relative to the median of white matter."""
    unit = float(np.median(image[anatomy.share_of("white") > PURE]))
    found = [np.percentile(image[anatomy.share_of(name) > PURE], PERCENTILES) / unit for name in PROBED]
    return [float(value) for value in np.concatenate(found)]


def table_errors(theta: Sequence[float], protocol: Protocol, person: Someone) -> dict[str, float]:
    """Root mean square error of the image with a measured table, relative to the range of the true image."""
    true = tissue_weights(protocol, person.deviations)[0]
    image, error = (np.tensordot(one, person.anatomy.shares / np.float32(FULL), axes=1) for one in (true, theta - true))
    where = {"brain": person.anatomy.brain, "head": person.anatomy.head}
    return {name: float(np.sqrt(np.square(error[mask]).mean()) / np.ptp(image[mask])) for name, mask in where.items()}


def session(person: Someone, place: int, site: Site, targets: Sequence[Target], on: Stage) -> Iterator[dict[str, Any]]:
    """A row per contrast: theta of the scan and, if there are targets, features for the probe before and after."""
    scans = {contrast: person.scan(site[contrast], str(place)) for contrast in CONTRASTS}
    images = on.harmonized(scans, targets) if targets else []
    sources = images[0].sources if images else on.encoded_together(scans)
    for number, (contrast, scan) in enumerate(scans.items()):
        row: dict[str, Any] = {"person": person.name, "site": place, "contrast": contrast}
        if images:
            seen = {BEFORE: scan, AFTER: images[number].image}
            row |= {name: intensities(image.data, person.anatomy) for name, image in seen.items()}
        theta = sources[contrast].theta
        is_table = len(theta) == len(TISSUES)
        error = table_errors(theta, site[contrast], person) if is_table else {}
        exact = tissue_weights(site[contrast], person.deviations)[0].tolist() if is_table else None
        yield row | {"theta": list(theta), "exact": exact, "error": error}


def common_targets(on: Stage) -> list[Target]:
    """Targets measured from ordinary scans of the built-in head at the first site."""
    other = someone(on.builtin)
    return [on.target(other, on.sites[0][contrast]) for contrast in CONTRASTS]


def clusters(rows: Rows, logarithms: bool) -> None:
    """Print the silhouette of sites within every contrast, and of contrasts."""
    points, exact = (np.array([row[key] or row["theta"] for row in rows]) for key in ("theta", "exact"))
    points, exact = (np.log(np.maximum(one, 0) + DARKEST) if logarithms else one for one in (points, exact))
    contrasts, sites = (np.array([row[key] for row in rows]) for key in ("contrast", "site"))
    print(f"\n{len({row['person'] for row in rows})} people at {len(np.unique(sites))} sites\n")
    print("| silhouette of sites | measured | exact tables |\n|---|---|---|")
    for contrast in CONTRASTS:
        mine = contrasts == contrast
        measured, best = (silhouette_score(one[mine], sites[mine]) for one in (points, exact))
        print(f"| {contrast} | {measured:.2f} | {best:.2f} |")
    print(f"\nWanted: above {WANTED} in each. Silhouette of contrasts: {silhouette_score(points, contrasts):.2f}")


def errors(rows: Rows) -> None:
    """Print the mean error of the tables, if theta is a table of tissues."""
    if not rows[0]["error"]:
        return
    print("\n| error of tables | brain | head |\n|---|---|---|")
    for contrast in (*CONTRASTS, ALL):
        mine = [row["error"] for row in rows if contrast in (row["contrast"], ALL)]
        print(f"| {contrast} | {' | '.join(f'{np.mean([e[key] for e in mine]):.1%}' for key in ('brain', 'head'))} |")


def probes(rows: Rows) -> None:
    """Print the accuracy of the probe of the site, with its 95 % confidence interval."""
    sites = len({row["site"] for row in rows})
    print(f"\n| the probe sees | {BEFORE} | {AFTER} |\n|---|---|---|")
    for contrast in (*CONTRASTS, ALL):
        print(f"| {contrast} | {' | '.join(_guessed(rows, contrast, method) for method in (BEFORE, AFTER))} |")
    print(f"\nWanted: chance, {1 / sites:.1%}, within the interval of harmonized brains, and outside that of scans.")


def _guessed(rows: Rows, contrast: str, method: str) -> str:
    sessions: dict[tuple[str, int], Mapping[str, list[float]]] = {}
    for row in rows:
        key = (row["person"], row["site"])
        sessions[key] = {**sessions.get(key, {}), row["contrast"]: row[method]}
    wanted = CONTRASTS if contrast == ALL else (contrast,)
    numbers = np.array([np.concatenate([one[name] for name in wanted]) for one in sessions.values()])
    people, sites = zip(*sessions, strict=True)
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
    guessed = cross_val_predict(probe, numbers, sites, groups=people, cv=LeaveOneGroupOut())
    right = binomtest(int((guessed == np.array(sites)).sum()), len(sites))
    interval = right.proportion_ci()
    return f"{right.k} of {right.n}: {right.statistic:.0%} ({interval.low:.0%} to {interval.high:.0%})"


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--people", type=int, default=PEOPLE, help="heads serve again with other tissue values")
    options.add_argument("--no-probe", action="store_true", help="theta alone")
    given = options.parse_args()
    on = stage(given)
    done = {(row["person"], row["site"]) for row in kept(on.out)}
    targets: list[Target] = []
    for person in everyone(on, given.people):
        for place, site in enumerate(on.sites):
            if (person.name, place) not in done:
                targets = targets or ([] if given.no_probe else common_targets(on))
                keep(on.out, list(session(person, place, site, targets, on)))
                print(f"{person.name} at site {place} is measured", flush=True)
    rows = kept(on.out)
    errors(rows)
    clusters(rows, logarithms=bool(on.checkpoint.priors))
    if not given.no_probe:
        probes(rows)


if __name__ == "__main__":
    main()
