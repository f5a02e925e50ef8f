"""``haca3 evaluate site``: whether the site of an image can be identified, before and after harmonization."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from haca3_bids.cli.command import add_number, check_least
from haca3_bids.cli.evaluate import site_images
from haca3_bids.cli.evaluate.comparison import estimate
from haca3_bids.cli.evaluate.given import add_brain
from haca3_bids.cli.evaluate.inputs import bad_input, check_complete, check_unused, number, read_table
from haca3_bids.cli.evaluate.people import add_people
from haca3_bids.cli.evaluate.site_images import Group
from haca3_bids.errors import BadInput
from haca3_bids.records.findings import Column, Drawing, Findings, Table, Value

if TYPE_CHECKING:
    from haca3_bids.evaluation.site_probe import Guessed

HELP = "whether classifiers can identify the site of an image, before and after harmonization"
WHICH = (
    Column("contrast", "Contrast of the images"),
    Column("region", "Part of the image that is used"),
    Column(
        "features",
        "What the classifier is given of an image",
        levels={
            "intensity": "percentiles of intensity and slope in the region",
            "image": "a coarse copy of the region, of which up to ten principal components are used",
        },
    ),
    Column("method", "What the images are, such as their desc entity"),
)
PROBES = {
    "linear": "linear discriminants, trained on images of the same method",
    "frozen": "linear discriminants, trained on images of the first method",
    "network": "a network with one hidden layer, trained to convergence (at most 1000 iterations) on images of the "
    "same method",
}
COLUMNS = {
    "site": (
        *WHICH,
        Column("probe", "Classifier; cross-validated, no subject is in both parts", levels=PROBES),
        Column("images", "Number of images"),
        Column("subjects", "Number of subjects"),
        Column("accuracy", "Balanced accuracy: share of images assigned to their site, mean over sites and seeds"),
        Column("accuracy_low", "Lower end of the 95 % interval, whose sample size is the number of subjects"),
        Column("accuracy_high", "Upper end of that interval"),
        Column("lowest", "Lowest accuracy of a seed; seeds differ in the folds and the initial weights"),
        Column("highest", "Highest accuracy of a seed"),
        Column("chance", "Accuracy of guessing"),
        Column("p", "Permutation test against chance, one-sided"),
    ),
    "distance": (
        *(column for column in WHICH if column.name != "features"),
        Column("silhouette", "Mean silhouette of the sites in the intensity features, -1 to 1; near 0: no clusters"),
        Column(
            "wasserstein",
            "Distance between the distributions of intensity of two sites, mean over pairs; 1 is the 95th percentile",
        ),
        Column("csf_overlap", "Part that the histograms of fluid of two sites share, mean over pairs; 1: equal"),
    ),
}
OF_TABLES, OF_DATASETS = ("value", "person", "method"), ("contrast", "before", "after", "people", "brain")  # options
MANY = 20  # subjects up to which intervals are called wide
FIXED = ("session_id", "age", "years")  # columns of a table that are no features


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add options for the dataset or table, and for the tests."""
    parser.add_argument(
        "input",
        type=Path,
        help="output folder of haca3-bids, or a tab-separated table of features with one row per image",
    )
    parser.add_argument("--site", default="site", metavar="COLUMN", help="column with the site (default: site)")
    dataset = parser.add_argument_group("dataset")
    site_images.add_arguments(dataset)
    add_people(dataset, "site")
    add_brain(parser)
    table = parser.add_argument_group("table")
    table.add_argument("--value", nargs="+", default=[], metavar="COLUMN", help="features (default: all other columns)")
    table.add_argument("--person", default="participant_id", metavar="COLUMN", help="default: participant_id")
    table.add_argument("--method", metavar="COLUMN", help="column with the method; the first one is the baseline")
    test = parser.add_argument_group("test")
    add_number(test, "--seeds", 3, "repetitions of each probe")
    add_number(test, "--permutations", 99, "permutations per test")


def run(args: argparse.Namespace) -> Findings:
    """Tables with a row per contrast, region, features, method and probe, and with distances between sites."""
    check_least(args, seeds=1, permutations=0)
    options = (OF_TABLES, "a table") if args.input.is_dir() else (OF_DATASETS, "an output folder of haca3-bids")
    check_unused(args, *options)
    groups, notes = site_images.groups(args) if args.input.is_dir() else ([_of_table(args)], [])
    trials = [trial for group in groups for trial in _trials(group, args)]
    rows = [_row(trial) for trial in trials]
    sites = sorted({site for group in groups for site in group.sites})
    summary = (
        f"Classifiers predict the site ({', '.join(sites)}) of images of {args.input.resolve().name}. An accuracy "
        "above chance shows that the site can be identified. An accuracy at chance shows only that these classifiers "
        "fail."
    )
    tables = {"site": Table(COLUMNS["site"], rows)}
    distances = [row for group in groups for row in _distances(group)]
    if distances:
        tables["distance"] = Table(COLUMNS["distance"], distances)
    drawings = [_accuracies(rows), *([_fluid(groups)] if any(group.fluid for group in groups) else [])]
    return Findings(summary, tables, drawings, [*_few(groups), *_unconverged(trials), *notes])


@dataclass(frozen=True)
class _Trial:
    """The result of one probe of one method."""

    group: Group
    features: str
    method: str
    probe: str
    found: Guessed


def _trials(group: Group, args: argparse.Namespace) -> Iterator[_Trial]:
    from haca3_bids.evaluation.site_probe import design, linear_probe, network_probe

    with bad_input(group.about.get("contrast", "")):
        about = design(group.sites, group.subjects)
    for features, methods in group.features.items():
        tables = {name: np.asarray(table, np.float64) for name, table in methods.items()}
        first, test = next(iter(tables)), (about, range(args.seeds), args.permutations)
        for name, table in tables.items():
            if name != first:
                yield _Trial(group, features, name, "frozen", linear_probe(tables[first], table, *test))
            yield _Trial(group, features, name, "linear", linear_probe(table, table, *test))
            yield _Trial(group, features, name, "network", network_probe(table, *test))


def _row(trial: _Trial) -> dict[str, Value]:
    group, found = trial.group, trial.found
    row: dict[str, Value] = {**group.about, **({"features": trial.features} if trial.features else {})}
    row |= {"method": trial.method} if trial.method else {}
    row |= {"probe": trial.probe, "images": len(group.sites), "subjects": len(set(group.subjects))}
    row |= {"accuracy": found.accuracy, "accuracy_low": found.low, "accuracy_high": found.high}
    row |= {"lowest": min(found.by_seed), "highest": max(found.by_seed)}
    return row | {"chance": found.chance, "p": found.p}


def _distances(group: Group) -> Iterator[dict[str, Value]]:
    from haca3_bids.evaluation.site_features import histogram_overlap, silhouette, site_distance

    for name, quantiles in group.quantiles.items():
        row: dict[str, Value] = {**group.about, "method": name}
        row["silhouette"] = silhouette(group.features["intensity"][name], group.sites)
        row["wasserstein"] = site_distance(quantiles, group.sites)
        if group.fluid:
            row["csf_overlap"] = histogram_overlap(group.fluid[name], group.sites)
        yield row


def _of_table(args: argparse.Namespace) -> Group:
    known = [args.person, args.site, *([args.method] if args.method else [])]
    lines = read_table(args.input, (*known, *args.value), "choose with --person, --site, --method, --value")
    names = args.value or [name for name in lines[0] if name not in (*known, *FIXED)]
    if not names:
        raise BadInput(f"{args.input.name} has no column with features.", "Name them with --value.")
    check_complete(lines, known, args.input)
    methods = list(dict.fromkeys(line[args.method] if args.method else "" for line in lines))
    own = {name: [line for line in lines if not args.method or line[args.method] == name] for name in methods}
    who = {name: [(line[args.person], line[args.site]) for line in rows] for name, rows in own.items()}
    if any(names_of != who[methods[0]] for names_of in who.values()):
        raise BadInput(
            f"The methods in {args.input.name} do not have the same subjects and sites.",
            "Each method needs the same images in the same order.",
        )
    tables = {
        name: np.array([[number(line[key], key) for key in names] for line in rows]) for name, rows in own.items()
    }
    if not np.ptp(np.concatenate(list(tables.values())), axis=0).any():
        raise BadInput(f"All features of {args.input.name} are constant.", "Give others with --value.")
    people, sites = zip(*who[methods[0]], strict=True)
    return Group({}, list(sites), list(people), {"": tables})


def _few(groups: Sequence[Group]) -> list[str]:
    people = {who for group in groups for who in group.subjects}
    return [] if len(people) > MANY else [f"There are only {len(people)} subjects: intervals are wide."]


def _unconverged(trials: Sequence[_Trial]) -> list[str]:
    from haca3_bids.evaluation.site_probe import ITERATIONS

    found = [trial.found for trial in trials if trial.probe == "network"]
    failed, trainings = sum(one.unconverged for one in found), sum(one.trainings for one in found)
    said = f"{failed} of {trainings} trainings of the network did not converge within {ITERATIONS} iterations."
    return [said] if failed else []


def _fluid(groups: Sequence[Group]) -> Drawing:
    """The mean histograms of fluid of every site, by contrast and method."""
    from haca3_bids.evaluation.site_features import BINS
    from haca3_bids.reports.charts import histograms

    data = {
        (group.about["contrast"], method): {
            site: rows[np.asarray(group.sites) == site].mean(axis=0) for site in sorted(set(group.sites))
        }
        for group in groups
        for method, rows in group.fluid.items()
    }
    labels = "intensity (1: 95th percentile of the brain)", "share of the fluid"
    return Drawing(
        "Histograms of fluid",
        histograms(data, BINS, *labels, legend="site"),
        caption="Mean over the images of each site. Ideally, the lines of all sites coincide after harmonization.",
    )


def _accuracies(rows: Sequence[Mapping[str, Value]]) -> Drawing:
    from haca3_bids.reports.charts import intervals

    data: dict[str, dict[str, tuple[float, float, float]]] = {}
    for row in rows:
        title = ", ".join(str(row[key]) for key in ("contrast", "region", "features") if key in row)
        name = " ".join(str(row[key]) for key in ("method", "probe") if key in row)
        data.setdefault(title, {})[name] = estimate(row, "accuracy")
    chance = float(rows[0]["chance"] or 0)
    return Drawing(
        "Accuracy of the classifiers",
        intervals(data, "balanced accuracy", limits=(-0.02, 1.02), line=chance),
        caption="Bars are 95 % intervals, the dashed line is chance.",
    )
