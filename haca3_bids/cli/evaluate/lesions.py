"""``haca3 evaluate lesions``: lesion segmentation trained at one site and applied to others."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from haca3_bids.cli.command import add_number, add_threads, check_least
from haca3_bids.cli.evaluate import lesion_cases
from haca3_bids.cli.evaluate.comparison import estimate, with_interval
from haca3_bids.cli.evaluate.given import add_brain
from haca3_bids.cli.evaluate.lesion_cases import Visit
from haca3_bids.cli.evaluate.people import add_people
from haca3_bids.errors import BadInput, UsageError
from haca3_bids.evaluation.overlap import dice
from haca3_bids.evaluation.scatter import DRAWS
from haca3_bids.records.findings import Column, Drawing, Findings, Table, Value

if TYPE_CHECKING:
    from haca3_bids.training.lesions import Segmenter
    from haca3_bids.training.machine import Machine

HELP = "lesions found by a network that was trained at one site, and their contrast, before and after harmonization"
WHERE = (Column("site", "Site of the images"), Column("method", "desc entity of the images"))
COLUMNS = {
    "lesions": (
        *WHERE,
        Column("subjects", "Number of subjects"),
        *with_interval("dice", "Dice coefficient of the lesions found and the given ones, mean over subjects"),
        Column(
            "recovered_percent",
            "Percentage of the loss relative to the site of the training that harmonization recovers, if there was one",
            "%",
        ),
        Column("p", "Wilcoxon signed-rank test over subjects against the images before harmonization, two-sided"),
    ),
    "contrast": (
        Column("contrast", "Contrast of the images"),
        *WHERE,
        Column("subjects", "Number of subjects"),
        *with_interval(
            "lesion_contrast",
            "(lesion - surroundings) / surroundings, of medians 2 to 6 voxels apart; mean over subjects",
        ),
    ),
    "sessions": (
        Column("participant_id", "Subject"),
        Column("session_id", "Session"),
        *WHERE,
        Column("fold", "Number of the fold in which the subject was left out of the training"),
        Column("dice", "Dice coefficient of the lesions found and the given ones"),
        Column("given_ml", "Volume of the given lesions", "mL"),
        Column("found_ml", "Volume of the lesions that the network found", "mL"),
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add options for the dataset, the lesions and the training."""
    parser.add_argument(
        "dataset", type=Path, help="output folder of haca3-bids, harmonized to the site of the training"
    )
    lesion_cases.add_arguments(parser)
    add_people(parser, "site")
    add_brain(parser)
    training = parser.add_argument_group("training")
    training.add_argument("--train-site", metavar="SITE", help="training site (default: the first by name)")
    add_number(training, "--folds", 5, "folds of the subjects")
    add_number(training, "--steps", 300, "optimiser steps per fold")
    add_number(training, "--patch", 48, "edge length of the training patches in voxels, a multiple of 16")
    add_number(training, "--seed", 0, "random seed")
    training.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    add_threads(training)


def run(args: argparse.Namespace) -> Findings:
    """Train a network for each fold of the subjects, and segment the held-out subjects."""
    check_least(args, folds=2, steps=1, patch=32, seed=0, threads=0)
    if args.patch % 16:
        raise UsageError(f"--patch {args.patch} is invalid.", "It must be a multiple of 16.")
    visits, notes = lesion_cases.visits(args)
    site = args.train_site or min(visit.site for visit in visits)
    parts = _parts(visits, site, args)
    contrasts = _contrast_rows(visits, args)  # before the training: it reads every image and mask
    results = _segmented(visits, parts, site, args)
    rows = _dice_rows(results, site, args)
    summary = (
        f"A 3D U-Net is trained on desc-{args.trained_on} {' and '.join(visits[0].images[args.trained_on])} images of "
        f"site {site} and applied to unseen subjects, in {len(set(parts.values()))} folds."
    )
    own = (
        f"{args.steps} optimiser steps per fold, patches of {args.patch} voxels along each edge. The network is small "
        "and serves only to compare images; a network for a study needs longer training."
    )
    tables = {"lesions": rows, "contrast": contrasts, "sessions": [result.row for result in results]}
    found = {name: Table(COLUMNS[name], part) for name, part in tables.items()}
    return Findings(summary, found, [_drawing(rows, site)], [own, *notes])


def _parts(visits: Sequence[Visit], site: str, args: argparse.Namespace) -> dict[str, int]:
    """The fold in which each subject is held out; BadInput if there are too few subjects or sites."""
    sites = sorted({visit.site for visit in visits})
    if site not in sites:
        raise BadInput(f"There is no site {site}.", f"The sites are {', '.join(sites)}.")
    if len(sites) < 2:
        raise BadInput(f"All sessions are of one site, {site}.", "A second site is needed to apply the network to.")
    at_site = sorted({visit.participant for visit in visits if visit.site == site})
    if len(at_site) < 2:
        raise BadInput(f"Site {site} has one subject.", "Two are needed: one to train on and one to test.")
    others = sorted({visit.participant for visit in visits} - set(at_site))
    rng, folds = np.random.default_rng(args.seed), min(args.folds, len(at_site))
    order = [*rng.permutation(at_site), *rng.permutation(others)]
    return {str(who): place % folds for place, who in enumerate(order)}


@dataclass(frozen=True)
class _Result:
    """The segmentation of one session by one method."""

    visit: Visit
    method: str
    dice: float
    row: dict[str, Value]


def _segmented(visits: Sequence[Visit], parts: Mapping[str, int], site: str, args: argparse.Namespace) -> list[_Result]:
    from haca3_bids.training.lesions import Segmenter, trained
    from haca3_bids.training.loop import use_threads
    from haca3_bids.training.machine import machine

    use_threads(args.threads)
    setting = Segmenter(steps=args.steps, patch=args.patch, seed=args.seed)
    results: list[_Result] = []
    with machine(args.device) as here:
        for fold in sorted(set(parts.values())):
            own = [visit for visit in visits if visit.site == site and parts[visit.participant] != fold]
            with tempfile.TemporaryDirectory(prefix="haca3-lesions-") as folder:
                cases = [lesion_cases.case(visit, args.trained_on, args) for visit in own]
                network = trained(cases, setting, Path(folder), here)
            del cases
            print(f"fold {fold + 1} of {max(parts.values()) + 1}: trained on {len(own)} sessions", file=sys.stderr)
            for visit in visits:
                if parts[visit.participant] == fold:
                    methods = (args.trained_on,) if visit.site == site else (args.before, args.after)
                    results += [_result(visit, method, fold, network, setting, here, args) for method in methods]
    return results


def _result(
    visit: Visit, method: str, fold: int, network: Any, setting: Segmenter, here: Machine, args: argparse.Namespace
) -> _Result:
    from haca3_bids.training.lesions import segmented

    case = lesion_cases.case(visit, method, args)
    found = segmented(network, case.images, setting, here)
    value, voxel_ml = dice(found, case.lesions), visit.voxel_mm3 / 1000
    row: dict[str, Value] = {"participant_id": visit.participant, "session_id": visit.session, "site": visit.site}
    row |= {"method": method, "fold": fold + 1, "dice": value}
    row |= {"given_ml": float(case.lesions.sum() * voxel_ml), "found_ml": float(found.sum() * voxel_ml)}
    return _Result(visit, method, value, row)


def _by_subject(results: Sequence[_Result], site: str, method: str) -> dict[str, float]:
    mine: dict[str, list[float]] = {}
    for one in results:
        if (one.visit.site, one.method) == (site, method):
            mine.setdefault(one.visit.participant, []).append(one.dice)
    return {who: float(np.mean(values)) for who, values in mine.items()}


def _dice_rows(results: Sequence[_Result], site: str, args: argparse.Namespace) -> list[dict[str, Value]]:
    from haca3_bids.evaluation.lesions import recovered
    from haca3_bids.evaluation.methods import paired

    own = _by_subject(results, site, args.trained_on)
    rows: list[dict[str, Value]] = [_row(site, args.trained_on, "dice", own, args)]
    for other in sorted({one.visit.site for one in results} - {site}):
        before, after = (_by_subject(results, other, method) for method in (args.before, args.after))
        rows.append(_row(other, args.before, "dice", before, args))
        share = recovered(*(float(np.mean(list(values.values()))) for values in (own, before, after)))
        last: dict[str, Value] = {"recovered_percent": 100 * share, "p": paired(after, before).p}
        rows.append(_row(other, args.after, "dice", after, args) | last)
    return rows


def _contrast_rows(visits: Sequence[Visit], args: argparse.Namespace) -> list[dict[str, Value]]:
    found: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    for visit in visits:
        for method in (args.before, args.after):
            for contrast, value in lesion_cases.contrasts(visit, method, args).items():
                found.setdefault((contrast, visit.site, method), {}).setdefault(visit.participant, []).append(value)
    rows: list[dict[str, Value]] = []
    for (contrast, site, method), people in sorted(found.items(), key=lambda item: item[0][:2]):
        means = {who: float(np.mean(values)) for who, values in people.items()}
        rows.append({"contrast": contrast, **_row(site, method, "lesion_contrast", means, args)})
    return rows


def _row(site: str, method: str, name: str, values: Mapping[str, float], args: argparse.Namespace) -> dict[str, Value]:
    """A row with the mean over subjects and its bootstrap interval."""
    own = np.array(list(values.values()))
    drawn = np.random.default_rng(args.seed).choice(own, (DRAWS, len(own))).mean(axis=1)
    low, high = np.percentile(drawn, (2.5, 97.5))
    row: dict[str, Value] = {"site": site, "method": method, "subjects": len(own), name: float(own.mean())}
    return row | {f"{name}_low": float(low), f"{name}_high": float(high)}


def _drawing(rows: Sequence[Mapping[str, Value]], site: str) -> Drawing:
    from haca3_bids.reports.charts import intervals

    points = {f"{row['site']}, {row['method']}": estimate(row, "dice") for row in rows}
    return Drawing(
        "Overlap with the given lesions",
        intervals({f"Trained at site {site}": points}, "Dice coefficient", limits=(0, 1)),
        caption="Mean over subjects; bars are 95 % intervals.",
    )
