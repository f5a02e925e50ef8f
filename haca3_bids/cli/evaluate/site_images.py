"""Features of the images of a dataset for identifying their site."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from haca3_bids.bids.results import TemplateImage, images_of
from haca3_bids.cli.evaluate.given import brain_in_words, brain_of
from haca3_bids.cli.evaluate.inputs import bad_input, check_grid, load
from haca3_bids.cli.evaluate.people import read_people
from haca3_bids.cli.evaluate.selection import add_two_descs, complete_sessions, left_out, only_harmonized
from haca3_bids.errors import BadInput
from haca3_bids.settings import CONTRASTS

Rows = NDArray[np.float64]
Pair = tuple[TemplateImage, TemplateImage]  # before and after harmonization
Seen = dict[tuple[str, str], Rows]  # (region, what) -> numbers of one image

REGIONS = ("head", "brain")
FEATURES = ("intensity", "image")


@dataclass(frozen=True)
class Group:
    """Features of one contrast in one region; tables are (images, numbers) by method."""

    about: Mapping[str, str]  # contrast and region
    sites: Sequence[str]
    subjects: Sequence[str]
    features: Mapping[str, Mapping[str, Rows]]
    quantiles: Mapping[str, Rows] = field(default_factory=dict)
    fluid: Mapping[str, Rows] = field(default_factory=dict)  # histograms of fluid, for the brain


def add_arguments(parser: argparse._ActionsContainer) -> None:
    """Add options for the images."""
    parser.add_argument("--contrast", nargs="+", choices=CONTRASTS, help="contrasts (default: all contrasts found)")
    add_two_descs(parser)


def groups(args: argparse.Namespace) -> tuple[list[Group], list[str]]:
    """A group for each contrast and region, and notes; BadInput if no session has both images, or a site is missing."""
    people, images = read_people(args.people, args.site), images_of(args.input)
    args.after = args.after or only_harmonized(images, args.input)
    found: list[Group] = []
    notes = [
        f"Head: Otsu's threshold in the images before harmonization. Brain: {brain_in_words(args.brain)}. Fluid: a "
        "mixture of three normal distributions in the brain before harmonization. Intensities are relative to the "
        "95th percentile of the region."
    ]
    for contrast in args.contrast or [one for one in CONTRASTS if any(one == image.contrast for image in images)]:
        whole, lacking = complete_sessions(images, (args.before, args.after), [contrast])
        notes += left_out(lacking, f"no desc-{args.before} or no desc-{args.after} {contrast} image")
        if whole:
            pairs = [(own[args.before][contrast], own[args.after][contrast]) for own in whole.values()]
            sites = [people.value(args.site, *names) for names in whole]
            found += _groups(contrast, pairs, sites, args)
    if not found:
        raise BadInput(
            f"{args.input.resolve().name} has no session with desc-{args.before} and desc-{args.after} images.",
            "--contrast, --before and --after must match the file names.",
        )
    return found, notes


def _groups(contrast: str, pairs: Sequence[Pair], sites: Sequence[str], args: argparse.Namespace) -> list[Group]:
    seen = [_seen(pair, args) for pair in pairs]
    if len({one[0]["head", "image"].size for one in seen}) > 1:
        raise BadInput(f"The {contrast} images are not on one grid.", "Compare images in one template space.")
    found, subjects = [], [one.participant for one, _ in pairs]
    for region in REGIONS:
        tables = {
            what: {
                desc: np.stack([one[number][region, what] for one in seen])
                for number, desc in enumerate((args.before, args.after))
            }
            for what in (*FEATURES, "quantiles", *(["fluid"] if region == "brain" else []))
        }
        features = {what: tables[what] for what in FEATURES}
        about = {"contrast": contrast, "region": region}
        found.append(Group(about, sites, subjects, features, tables["quantiles"], tables.get("fluid", {})))
    return found


def _seen(pair: Pair, args: argparse.Namespace) -> tuple[Seen, Seen]:
    """Features of the images before and after harmonization, in the same regions."""
    from haca3_bids.evaluation.segmentation import CSF, segmented
    from haca3_bids.evaluation.site_features import coarse_copy, histogram, intensity_features, quantiles
    from haca3_bids.intensity.background import head_mask

    volumes = [load(image.path) for image in pair]
    check_grid(volumes[1], pair[1].path, volumes[0], pair[0].path)
    brain = brain_of(pair[0], volumes[0], args.brain)
    regions = {"head": head_mask(volumes[0].data), "brain": brain}
    out: list[Seen] = []
    with bad_input(pair[0].path.name):
        fluid = segmented(volumes[0].data, brain, pair[0].contrast) == CSF
    for image, volume in zip(pair, volumes, strict=True):
        own: Seen = {}
        with bad_input(image.path.name):
            for name, region in regions.items():
                own[name, "intensity"] = intensity_features(volume.data, region)
                own[name, "image"] = coarse_copy(volume.data, region)
                own[name, "quantiles"] = quantiles(volume.data, region)
            own["brain", "fluid"] = histogram(volume.data, brain, fluid)
        out.append(own)
    return out[0], out[1]
