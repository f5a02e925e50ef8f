"""Volumes of grey matter, white matter and ventricles before and after harmonization."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from haca3_bids.arrays import Mask
from haca3_bids.bids.results import TemplateImage, images_of
from haca3_bids.cli.evaluate.given import brain_of, template_of
from haca3_bids.cli.evaluate.inputs import Line, bad_input, has_data, load, number
from haca3_bids.cli.evaluate.people import People, read_people
from haca3_bids.cli.evaluate.selection import add_two_descs, complete_sessions, left_out, only_harmonized
from haca3_bids.errors import BadInput
from haca3_bids.physics.tissues import TISSUES
from haca3_bids.records.findings import Column, Table, Value
from haca3_bids.settings import CONTRASTS, PreprocessingSettings

if TYPE_CHECKING:
    from haca3_bids.volumes.volume import Volume

MAPS, LEVELS_OF_HACA3 = "beta", 5
STRUCTURES = ("GM", "WM", "LatV")
COLUMNS = (
    Column("participant_id", "Subject"),
    Column("session_id", "Session"),
    Column("method", "desc entity of the image that was segmented; beta: anatomy map of the mixture model"),
    Column("age", "Age at the session", "year"),
    Column("GM", "Grey matter, deep nuclei included", "mL"),
    Column("WM", "White matter", "mL"),
    Column("LatV", "Fluid in and around the ventricles of the template: lateral and third ventricles", "mL"),
)


@dataclass(frozen=True)
class Measured:
    """The volumes of all sessions, as text rows for the model and as a table."""

    lines: list[Line]
    table: Table
    notes: list[str]


def add_arguments(parser: argparse._ActionsContainer) -> None:
    """Add options for the images to segment."""
    parser.add_argument("--contrast", choices=CONTRASTS, default="T1w", help="images to segment (default: T1w)")
    add_two_descs(parser)
    parser.add_argument(
        "--anatomy-maps",
        action="store_true",
        help="measure the anatomy maps of the mixture model as well (haca3-bids --extra-outputs beta)",
    )


def measured(args: argparse.Namespace) -> Measured:
    """Segment every session that has both images; BadInput if there is none, or an age is missing."""
    people, images = read_people(args.people, "age"), images_of(args.input)
    args.after = args.after or only_harmonized(images, args.input)
    sessions, lacking = complete_sessions(images, (args.before, args.after), [args.contrast])
    if not sessions:
        wanted = f"desc-{args.before} and desc-{args.after} {args.contrast} images"
        raise BadInput(
            f"{args.input.resolve().name} has no session with {wanted}.",
            "--contrast, --before and --after must match the file names.",
        )
    ages = {names: number(people.value("age", *names), "age") for names in sessions}
    rows: list[dict[str, Value]] = []
    for who in dict.fromkeys(who for who, _ in sessions):
        own = [
            {desc: one[args.contrast] for desc, one in files.items()}
            for names, files in sessions.items()
            if names[0] == who
        ]
        for pair, volumes in zip(own, _volumes(own, args), strict=True):
            session = pair[args.after].session
            about: dict[str, Value] = {"participant_id": who, "session_id": session, "age": ages[who, session]}
            rows += [{**about, "method": method, **millilitres} for method, millilitres in volumes.items()]
    lines = [{key: str(value) for key, value in row.items()} for row in rows]
    brain = "the template's brain, stretched to each subject" if args.brain is None else f"masks of {args.brain.name}"
    notes = [
        f"Tissues of {args.contrast} images by a mixture of three normal distributions and a Markov random field, "
        f"within {brain} and the fields of view of all sessions of a subject; the same masks before and after "
        "harmonization."
    ]
    notes += left_out(lacking, f"no desc-{args.before} or no desc-{args.after} {args.contrast} image")
    return Measured(lines, Table(COLUMNS, rows), [*notes, *_ages_of_subjects(people, list(sessions))])


def _ages_of_subjects(people: People, sessions: Sequence[tuple[str, str]]) -> list[str]:
    """A note if sessions of a subject have one age, because none is given for the sessions."""
    several = {who for who, when in sessions if (who, when) != next(names for names in sessions if names[0] == who)}
    alike = {who for who, when in sessions if who in several and not people.has_own("age", who, when)}
    if not alike:
        return []
    return [
        f"{people.source} has one age for all sessions of {len(alike)} subjects. If years passed between them, give "
        "the age of each session (sessions.tsv, or rows with session_id)."
    ]


def _volumes(
    pairs: Sequence[Mapping[str, TemplateImage]], args: argparse.Namespace
) -> list[Mapping[str, dict[str, float]]]:
    """Volumes by desc for each session of a subject; the regions are those of the first session.

    Voxels outside the field of view of one session are left out in all, since they have no tissue there.
    """
    from haca3_bids.evaluation.segmentation import segmented, volumes_ml

    brain, ventricles = _regions(pairs[0][args.before])
    template_grid = load(pairs[0][args.before].path)
    seen = _seen([pair[args.before] for pair in pairs], template_grid)
    out: list[Mapping[str, dict[str, float]]] = []
    for pair in pairs:
        own: dict[str, dict[str, float]] = {}
        for desc, image in pair.items():
            volume = load(image.path)
            mask = brain if args.brain is None else brain_of(image, volume, args.brain)
            _check_grid(image, volume, template_grid)
            with bad_input(image.path.name):
                tissues = segmented(volume.data, mask & seen, args.contrast)
            own[desc] = volumes_ml(tissues, ventricles, float(volume.zooms_mm.prod()))
        if args.anatomy_maps:
            own[MAPS] = volumes_ml(_anatomy(pair[args.after], args) * seen, ventricles, float(volume.zooms_mm.prod()))
        out.append(own)
    return out


def _seen(images: Sequence[TemplateImage], grid: Volume) -> Mask:
    """The voxels in the field of view of all images; BadInput if one has another grid."""
    seen = np.ones(grid.shape, np.bool_)
    for image in images:
        volume = load(image.path)
        _check_grid(image, volume, grid)
        seen &= has_data(volume)
    return seen


def _check_grid(image: TemplateImage, volume: Volume, grid: Volume) -> None:
    if not volume.has_grid_of(grid):
        raise BadInput(f"{image.path.name} does not have the grid of the template.", "Give images on its grid.")


def _anatomy(image: TemplateImage, args: argparse.Namespace) -> NDArray[np.uint8]:
    """CSF, grey matter and white matter with lesions, from the anatomy map of a harmonized image."""
    from haca3_bids.evaluation.segmentation import CSF, GREY, WHITE

    target = args.after.removeprefix("haca3")
    name = image.path.name.replace(f"_desc-{args.after}_{args.contrast}.", f"_desc-betaTo{args.contrast}{target}_dseg.")
    if not image.path.with_name(name).exists():
        raise BadInput(
            f"The anatomy map {name} does not exist.",
            "Omit --anatomy-maps, or run haca3-bids again with --extra-outputs beta.",
        )
    labels = np.rint(load(image.path.with_name(name), may_be_constant=True).data).astype(np.int64)
    if labels.max() <= LEVELS_OF_HACA3:
        raise BadInput(f"{name} contains the levels of HACA3, which are not tissues.", "Omit --anatomy-maps.")
    kinds = {"csf": CSF, "grey": GREY, "deep_grey": GREY, "white": WHITE, "lesion": WHITE}
    table = np.zeros(max(labels.max(), len(TISSUES)) + 1, np.uint8)
    for tissue, kind in kinds.items():
        table[1 + TISSUES.index(tissue)] = kind
    return np.asarray(table[labels])


def _regions(image: TemplateImage) -> tuple[Mask, Mask]:
    from haca3_bids.preprocessing.prior import regions_of_aligned

    volume = load(image.path)
    template = template_of(image.space, "Give images in the space of haca3-bids.")
    if not volume.has_grid_of(template.head):
        raise BadInput(f"{image.path.name} does not have the grid of {image.space}.", "Give images on its grid.")
    return regions_of_aligned(volume, template, PreprocessingSettings())
