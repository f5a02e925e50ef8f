"""``haca3 evaluate anatomy``: tissues before and after harmonization, against the truth and between sessions."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from haca3_bids.bids.results import TemplateImage
from haca3_bids.cli.evaluate.comparison import BASELINE, CONTRAST, METHOD, PEOPLE, dot_charts, smallest_p, tested
from haca3_bids.cli.evaluate.given import TISSUES, add_brain, brain_in_words, brain_of, tissues_of
from haca3_bids.cli.evaluate.inputs import IN_TEMPLATE_SPACE, bad_input, check_grid, has_data, load
from haca3_bids.cli.evaluate.selection import Key, Selection, add_selection, in_words, select
from haca3_bids.errors import BadInput
from haca3_bids.records.findings import Column, Drawing, Findings, Table, Value

if TYPE_CHECKING:
    from haca3_bids.evaluation.anatomy import Tissues
    from haca3_bids.volumes.volume import Volume

HELP = (
    "volumes and Dice coefficients of tissues, before and after harmonization, against the truth and between sessions"
)
MEASURES = {"dice": "Dice with the truth", "size_of_error_percent": "Volume error, size (%)"}
RETEST_MEASURES = {"retest_dice": "Dice between sessions", "retest_difference_percent": "Volume difference (%)"}
BY = ("contrast", "tissue")
_KEYS = (
    CONTRAST,
    Column("tissue", "Tissue", levels={"CSF": "cerebrospinal fluid", "GM": "grey matter", "WM": "white matter"}),
    METHOD,
)
_DICE = Column("dice", "Dice coefficient of the tissue and the true tissue; 1 means identical")
_SIZE = Column("size_of_error_percent", "Absolute value of error_percent", "%")
_RETEST = (
    Column("retest_dice", "Dice coefficient of the tissue in two sessions of a subject; 1 means identical"),
    Column("retest_difference_percent", "Absolute difference of the volumes, as a percentage of their mean", "%"),
)
COLUMNS = {
    "anatomy": (
        Column("participant_id", "Subject"),
        Column("session_id", "Session"),
        *_KEYS,
        Column("volume_ml", "Volume of the tissue in the segmented image", "mL"),
        Column("true_volume_ml", "True volume of the tissue", "mL"),
        Column("error_percent", "Volume minus true volume, as a percentage of the true volume", "%"),
        _SIZE,
        _DICE,
    ),
    "retest": (
        Column("participant_id", "Subject"),
        Column("session_id", "First session"),
        Column("other_session_id", "Second session"),
        *_KEYS,
        *_RETEST,
    ),
    "means": (*_KEYS, PEOPLE, _DICE, _SIZE),
    "tests": (*_KEYS, BASELINE, PEOPLE, *tested(MEASURES)),
    "retest_means": (*_KEYS, PEOPLE, *_RETEST),
    "retest_tests": (*_KEYS, BASELINE, PEOPLE, *tested(RETEST_MEASURES)),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add options for the dataset, its images, the truth and the brain."""
    add_selection(parser, ("T1w",))
    parser.add_argument(
        "--truth",
        type=Path,
        metavar="DIR",
        help="derivatives with the true tissues of each session: label-CSF, label-GM and label-WM probseg images or a "
        "dseg image with the labels of BIDS, on the grid of the images; or the truth of haca3 simulate. They also "
        "define the brain unless --brain is given",
    )
    add_brain(parser)


@dataclass
class _Seen:
    """Results accumulated over sessions."""

    rows: list[dict[str, Value]] = field(default_factory=list)
    retests: list[dict[str, Value]] = field(default_factory=list)
    pictures: dict[str, Drawing] = field(default_factory=dict)  # by contrast, of the first harmonized session


def run(args: argparse.Namespace) -> Findings:
    """Tables with rows per session and per pair of sessions, means and paired tests."""
    from haca3_bids.evaluation.methods import difference_rows, mean_rows

    selections = [one for one in select(args) if one.has_harmonized]
    if not selections:
        contrasts = " or ".join(args.contrast)
        raise BadInput(
            f"{args.dataset.resolve().name} has no session with {contrasts} {in_words(args)}.",
            "Give the output folder of haca3-bids; --contrast, --before and --after must match the file names.",
        )
    seen = _Seen()
    for selection in selections:
        for participant in sorted({key[0] for key in selection.scans}):
            _measure(selection, participant, args, seen)
    tables = {"anatomy": Table(COLUMNS["anatomy"], seen.rows), "retest": Table(COLUMNS["retest"], seen.retests)}
    compared = seen.rows if args.truth else []
    for prefix, rows, measures in (("", compared, MEASURES), ("retest_", seen.retests, RETEST_MEASURES)):
        means, tests = mean_rows(rows, measures, BY), difference_rows(rows, measures, by=BY)
        tables[f"{prefix}means"] = Table(COLUMNS[f"{prefix}means"], list(means), "Means over subjects.")
        tables[f"{prefix}tests"] = Table(COLUMNS[f"{prefix}tests"], list(tests), "Paired differences.")
    charts = (*dot_charts(seen.rows, MEASURES, BY), *dot_charts(seen.retests, RETEST_MEASURES, BY)) if args.out else ()
    return Findings(
        _sentence(args),
        {name: table for name, table in tables.items() if table.rows},
        [*seen.pictures.values(), *charts],
        _notes(args, seen, [*tables["tests"].rows, *tables["retest_tests"].rows]),
    )


def _sentence(args: argparse.Namespace) -> str:
    truth = f" and compared with the true tissues in {args.truth.name}" if args.truth else ""
    return (
        f"Every {' and '.join(args.contrast)} image is segmented by the same mixture of three Gaussians{truth}; the "
        "segmentations of any two sessions of a subject are compared with each other."
    )


def _notes(args: argparse.Namespace, seen: _Seen, tests: Sequence[Mapping[str, Value]]) -> list[str]:
    brain = brain_in_words(args.brain or args.truth)
    notes = [f"The brain is {brain}. Smoothing can make volumes more similar without making them more correct."]
    if people := [int(row["people"] or 0) for row in tests]:
        notes.append(smallest_p(max(people)))
    if seen.retests:
        notes.append(
            "Dice coefficients between sessions contain the error of registration: use haca3-bids --longitudinal. "
            "Volumes depend on it only through the brain mask."
        )
    return notes


def _measure(selection: Selection, participant: str, args: argparse.Namespace, seen: _Seen) -> None:
    """Add the rows of one subject: of every session, and of all pairs of sessions."""
    from haca3_bids.evaluation.anatomy import retest

    found: dict[str, dict[Key, Tissues]] = {}
    for key, scan in sorted(selection.scans.items()):
        if key[0] == participant:
            print(f"{scan.session_name} {selection.contrast}", file=sys.stderr)
            for method, tissues in _session(selection, scan, args, seen):
                found.setdefault(method, {})[key] = tissues
    for method, sessions in found.items():
        for (_, one), (_, other) in combinations(sessions, 2):
            with bad_input(f"{participant} {one} and {other}"):
                rows = retest(sessions[participant, one], sessions[participant, other])
            about = {"participant_id": participant, "session_id": one, "other_session_id": other}
            seen.retests += [
                {**about, "contrast": selection.contrast, "tissue": name, "method": method, **row}
                for name, row in rows.items()
            ]


def _session(
    selection: Selection, scan: TemplateImage, args: argparse.Namespace, seen: _Seen
) -> Iterator[tuple[str, Tissues]]:
    """The tissues of a session by method; adds the rows of the session."""
    from haca3_bids.evaluation.anatomy import against_truth, tissues_in

    grid = load(scan.path)
    brain, voxel_ml = brain_of(scan, grid, args.brain or args.truth), float(grid.zooms_mm.prod()) / 1000
    truth = tissues_of(scan, grid, args.truth) if args.truth else {}
    truth = {name: mask & has_data(grid) for name, mask in truth.items()}  # no tissue is seen where nothing is
    shown = {"truth": _numbered(truth, grid)} if truth else {}
    about: dict[str, Value] = {"participant_id": scan.participant, "session_id": scan.session}
    for method, path in selection.files(scan).items():
        image = load(path)
        check_grid(image, path, grid, scan.path, IN_TEMPLATE_SPACE)
        with bad_input(path.name):
            tissues = tissues_in(image.data, brain, selection.contrast)
        compared = against_truth(tissues, truth, voxel_ml) if truth else {name: {} for name in TISSUES}
        for name, mask in tissues.items():
            key = {"contrast": selection.contrast, "tissue": name, "method": method}
            seen.rows.append({**about, **key, "volume_ml": float(mask.sum()) * voxel_ml, **compared[name]})
        shown[method] = _numbered(tissues, grid)
        yield method, tissues
    if args.out and selection.contrast not in seen.pictures and set(shown) & set(selection.harmonized):
        seen.pictures[selection.contrast] = _picture(scan, shown)


def _numbered(tissues: Tissues, grid: Volume) -> Volume:
    """A label image in which CSF is 1, GM 2 and WM 3."""
    return grid.with_data(np.select(list(tissues.values()), list(range(1, len(tissues) + 1))))


def _picture(scan: TemplateImage, images: Mapping[str, Volume]) -> Drawing:
    """A figure of one slice of the tissues by every method."""
    from haca3_bids.reports.charts import HEAD_AXIAL_MM, slices, svg

    caption = f"An axial slice of {scan.session_name}: fluid dark grey, grey matter light grey, white matter white."
    figure = slices(images, HEAD_AXIAL_MM, white=dict.fromkeys(images, float(len(TISSUES))))
    return Drawing(f"Tissues in the {scan.contrast}", svg(figure), caption=caption)
