"""The sessions of a dataset with their lesions, as training and test cases of a segmentation network."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from haca3_bids.arrays import Mask
from haca3_bids.bids.results import TemplateImage, images_of
from haca3_bids.cli.evaluate.given import brain_of, lesions_of
from haca3_bids.cli.evaluate.inputs import bad_input, check_grid, load
from haca3_bids.cli.evaluate.people import read_people
from haca3_bids.cli.evaluate.selection import add_two_descs, complete_sessions, left_out, only_harmonized
from haca3_bids.errors import BadInput
from haca3_bids.settings import CONTRASTS

if TYPE_CHECKING:
    from haca3_bids.training.lesions import Case
    from haca3_bids.volumes.volume import Volume

MARGIN = 8  # voxels around the brain


@dataclass(frozen=True)
class Visit:
    """A session with its images by desc and contrast."""

    participant: str
    session: str
    site: str
    images: Mapping[str, Mapping[str, TemplateImage]]
    voxel_mm3: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add options for the images, their lesions and their sites."""
    parser.add_argument(
        "--lesions",
        type=Path,
        required=True,
        metavar="DIR",
        help="derivatives with the lesions of each session (label-L_mask, label-lesion_mask or desc-lesion_mask) "
        "on the grid of the images, or the truth of haca3 simulate",
    )
    parser.add_argument("--site", default="site", metavar="COLUMN", help="column with the site (default: site)")
    parser.add_argument("--contrast", nargs="+", choices=CONTRASTS, default=["T1w", "FLAIR"], help="default: T1w FLAIR")
    parser.add_argument("--trained-on", default="preproc", metavar="DESC", help="desc to train on (default: preproc)")
    add_two_descs(parser)


def visits(args: argparse.Namespace) -> tuple[list[Visit], list[str]]:
    """All sessions with complete images, and a note on the others; BadInput if there are none, or a site is missing."""
    people, everything = read_people(args.people, args.site), images_of(args.dataset)
    args.after = args.after or only_harmonized(everything, args.dataset)
    descs = {args.trained_on, args.before, args.after}
    whole, lacking = complete_sessions(everything, descs, sorted(set(args.contrast)))
    if not whole:
        wanted = f"{' and '.join(args.contrast)} images with desc-{', desc-'.join(sorted(descs))}"
        raise BadInput(
            f"{args.dataset.resolve().name} has no session with {wanted}.",
            "--contrast, --trained-on, --before and --after must match the file names.",
        )
    first = load(next(iter(next(iter(whole.values()))[args.before].values())).path)
    voxel = float(np.prod(first.zooms_mm))
    complete = [Visit(*names, people.value(args.site, *names), images, voxel) for names, images in whole.items()]
    return complete, left_out(lacking, "incomplete images")


def case(visit: Visit, desc: str, args: argparse.Namespace) -> Case:
    """The images of one method, standardized in the brain and cropped to it, with the lesions."""
    from haca3_bids.training.lesions import Case, standardized
    from haca3_bids.volumes.box import bounding_box

    volumes, brain, lesions = _loaded(visit, desc, args)
    box = bounding_box(brain, MARGIN)
    with bad_input(f"{visit.participant} {visit.session} desc-{desc}"):
        images = standardized([volume.data[box] for volume in volumes], brain[box])
    return Case(images, (lesions & brain)[box])


def contrasts(visit: Visit, desc: str, args: argparse.Namespace) -> dict[str, float]:
    """The contrast of the lesions in each image; empty if there are no lesions."""
    from haca3_bids.evaluation.lesions import lesion_contrast, surroundings

    volumes, brain, lesions = _loaded(visit, desc, args)
    lesions &= brain
    if not lesions.any():
        return {}
    around = surroundings(lesions, brain)
    with bad_input(f"{visit.participant} {visit.session} desc-{desc}"):
        return {
            contrast: lesion_contrast(volume.data, lesions, around)
            for contrast, volume in zip(visit.images[desc], volumes, strict=True)
        }


def _loaded(visit: Visit, desc: str, args: argparse.Namespace) -> tuple[list[Volume], Mask, Mask]:
    images = list(visit.images[desc].values())
    volumes = [load(image.path) for image in images]
    for image, volume in zip(images, volumes, strict=True):
        check_grid(volume, image.path, volumes[0], images[0].path)
    brain = brain_of(images[0], volumes[0], args.brain)
    return volumes, brain, lesions_of([images[0]], volumes[0], args.lesions)
