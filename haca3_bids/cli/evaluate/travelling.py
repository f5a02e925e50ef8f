"""``haca3 evaluate travelling``: similarity of scans at several sites, before and after harmonization."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from haca3_bids.arrays import Mask
from haca3_bids.cli.evaluate.as_scanned import AS_SCANNED, as_scanned
from haca3_bids.cli.evaluate.comparison import BASELINE, CONTRAST, METHOD, PEOPLE, dot_charts, smallest_p, tested
from haca3_bids.cli.evaluate.given import add_brain, brain_in_words, brain_of, lesions_of
from haca3_bids.cli.evaluate.inputs import IN_TEMPLATE_SPACE, bad_input, check_grid, has_data, load
from haca3_bids.cli.evaluate.pairs import Pair, choose
from haca3_bids.cli.evaluate.selection import add_selection
from haca3_bids.records.findings import Column, Drawing, Findings, Table, Value

if TYPE_CHECKING:
    from haca3_bids.volumes.volume import Volume


HELP = "PSNR, SSIM and correlation between scans of the same subjects at several sites, before and after harmonization"
MATCHED = "histogram matching"
PLACES = ("brain", "head")
MEASURES = {  # column: short name
    "psnr_brain_db": "PSNR, brain (dB)",
    "ssim_brain": "SSIM, brain",
    "psnr_head_db": "PSNR, head (dB)",
    "ssim_head": "SSIM, head",
    "correlation_brain": "correlation, brain",
}
FITTED = "after multiplication of the image by the factor that fits it best to the reference there"
NUMBERS = (
    *(
        Column(f"psnr_{p}_db", f"Peak signal-to-noise ratio in the {p}, {FITTED}; higher is better", "dB")
        for p in PLACES
    ),
    *(Column(f"ssim_{p}", f"Mean structural similarity in the {p}, {FITTED}; 1 means identical") for p in PLACES),
    Column("correlation_brain", "Pearson's correlation with the reference in the brain"),
)
COLUMNS = {
    "travelling": (
        Column("participant_id", "Subject"),
        Column("session_id", "Session of the image"),
        Column("reference_session_id", "Session of the reference image"),
        CONTRAST,
        METHOD,
        *NUMBERS,
    ),
    "means": (CONTRAST, METHOD, PEOPLE, *NUMBERS),
    "tests": (CONTRAST, METHOD, BASELINE, PEOPLE, *tested(MEASURES)),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add options for the dataset, its images and their target."""
    add_selection(parser)
    parser.add_argument(
        "--target",
        type=_session,
        metavar="sub-X_ses-Y",
        help="session whose contrast the images were harmonized to; they are compared with the scans of the same "
        "subject in sessions of that name (default: sessions of a subject are compared with each other)",
    )
    parser.add_argument(
        "--raw",
        type=Path,
        metavar="DIR",
        help="dataset that was processed; adds the method 'as scanned': the scans before preprocessing, which are only "
        "resampled to the same grid",
    )
    add_brain(parser)
    parser.add_argument(
        "--exclude",
        type=Path,
        metavar="DIR",
        help="derivatives with lesion masks (label-L_mask, label-lesion_mask or desc-lesion_mask), which are left out",
    )


def _session(text: str) -> str:
    if not re.fullmatch(r"sub-[A-Za-z0-9+]+_ses-[A-Za-z0-9+]+", text):
        raise argparse.ArgumentTypeError(f"{text} is not sub-X_ses-Y")
    return text


@dataclass
class _Seen:
    """Results accumulated over pairs."""

    rows: list[dict[str, Value]] = field(default_factory=list)
    pictures: dict[str, Drawing] = field(default_factory=dict)  # by contrast, of the first pair
    heads: dict[Path, Mask] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)  # reason of the first failure, by baseline


def run(args: argparse.Namespace) -> Findings:
    """Tables with rows per pair and method, means, and paired tests between methods."""
    from haca3_bids.evaluation.methods import difference_rows, mean_rows
    from haca3_bids.evaluation.normalization import METHODS

    choice, seen = choose(args, (MATCHED, *METHODS, AS_SCANNED)), _Seen()
    for number, pair in enumerate(choice.pairs, start=1):
        print(f"{number} of {len(choice.pairs)}: {pair.scan.session_name} {pair.contrast}", file=sys.stderr)
        _measure(pair, args, seen)
    people = len({row["participant_id"] for row in seen.rows})
    notes = [
        f"The data range of PSNR and SSIM is the 95th percentile of the reference in the head. The head is found by "
        f"Otsu's method in the unharmonized reference; the brain is {brain_in_words(args.brain)}. Voxels outside the "
        "field of view of either scan are left out.",
        "Histogram matching uses the whole head. Nyul, WhiteStripe and z-score use the brain and are extrapolated to "
        "the rest of the head.",
        smallest_p(people),
        *([f"The lesions in {args.exclude.name} are left out of brain and head."] if args.exclude else []),
        *choice.notes,
        *(f"{method} {why}" for method, why in seen.failed.items()),
    ]
    tables = {
        "travelling": Table(COLUMNS["travelling"], seen.rows),
        "means": Table(COLUMNS["means"], list(mean_rows(seen.rows, MEASURES)), "Means over subjects."),
        "tests": Table(
            COLUMNS["tests"],
            list(difference_rows(seen.rows, MEASURES, (MATCHED, *METHODS, AS_SCANNED))),
            "Paired differences over subjects: each method minus its baseline.",
        ),
    }
    drawings = [*seen.pictures.values(), *dot_charts(seen.rows, MEASURES)] if args.out else ()
    return Findings(choice.sentence, tables, drawings, notes)


def _head(path: Path, image: Volume, seen: _Seen) -> Mask:
    """The head mask of an image, computed once."""
    from haca3_bids.intensity.background import head_mask

    if path not in seen.heads:
        seen.heads[path] = head_mask(image.data)
    return seen.heads[path]


def _measure(pair: Pair, args: argparse.Namespace, seen: _Seen) -> None:
    """Add the rows of one pair of sessions, for every method."""
    from haca3_bids.evaluation.similarity import best_factor, correlation, fitted

    scan, reference = load(pair.scan.path), load(pair.reference.path)
    check_grid(scan, pair.scan.path, reference, pair.reference.path, IN_TEMPLATE_SPACE)
    head = _head(pair.reference.path, reference, seen)
    brain = brain_of(pair.reference, reference, args.brain) & head
    shown = has_data(scan) & has_data(reference)
    kept = shown & ~lesions_of((pair.scan, pair.reference), reference, args.exclude) if args.exclude else shown
    about: dict[str, Value] = {
        "participant_id": pair.scan.participant,
        "session_id": pair.scan.session,
        "reference_session_id": pair.reference.session,
        "contrast": pair.contrast,
    }
    drawn = {"reference": reference} if args.out and pair.contrast not in seen.pictures else {}
    for method, image, truth in _images(pair, reference, head & shown, brain & shown, args, seen):
        row = about | {"method": method}
        for place, mask in zip(PLACES, (brain, head), strict=True):
            with bad_input(f"{pair.scan.path.name} and {pair.reference.path.name}"):
                found = fitted(image.data, truth.data, mask & kept, head)
            row |= {f"psnr_{place}_db": found.psnr_db, f"ssim_{place}": found.ssim}
        row |= {"correlation_brain": correlation(image.data, truth.data, brain & kept)}
        seen.rows.append(row)
        if drawn:
            drawn[method] = image.with_data(image.data * best_factor(image.data[head], reference.data[head]))
    if drawn:
        seen.pictures[pair.contrast] = _picture(pair.contrast, drawn)


def _images(
    pair: Pair, reference: Volume, head: Mask, brain: Mask, args: argparse.Namespace, seen: _Seen
) -> Iterator[tuple[str, Volume, Volume]]:
    """Every method with its image and reference image; BadInput if grids differ."""
    scan: Volume | None = None
    for name, (path, other) in pair.methods.items():
        image, truth = load(path), reference if other == pair.reference.path else load(other)
        for file, volume in ((path, image), (other, truth)):
            check_grid(volume, file, reference, pair.reference.path, IN_TEMPLATE_SPACE)
        yield name, image, truth
        if scan is None:  # the first is unharmonized; the baselines that are made from it follow
            scan = image
            for baseline, made in _baselines(pair, scan, head, brain, args, seen):
                yield baseline, made, reference
    if args.raw:
        yield AS_SCANNED, as_scanned(pair.scan, reference, args.raw), as_scanned(pair.reference, reference, args.raw)


def _baselines(
    pair: Pair, scan: Volume, head: Mask, brain: Mask, args: argparse.Namespace, seen: _Seen
) -> Iterator[tuple[str, Volume]]:
    """The scan matched to the guide by each baseline: histogram matching and normalizations."""
    from haca3_bids.evaluation import normalization

    guide = load(pair.guide.path)
    check_grid(guide, pair.guide.path, scan, pair.scan.path, IN_TEMPLATE_SPACE)
    guide_head = _head(pair.guide.path, guide, seen)
    guide_brain = brain_of(pair.guide, guide, args.brain) & guide_head
    yield MATCHED, scan.with_data(normalization.matched(scan.data, head, guide.data, guide_head))
    for method in normalization.METHODS:
        try:
            made = normalization.normalized(method, scan.data, brain, guide.data, guide_brain, pair.contrast)
        except ImportError:
            seen.failed[method] = "is left out; pip install intensity-normalization adds it."
            continue
        except ValueError as error:
            seen.failed.setdefault(method, f"has no image of {pair.scan.session_name}, {pair.contrast}: {error}.")
            continue
        yield method, scan.with_data(made * head)


def _picture(contrast: str, images: dict[str, Volume]) -> Drawing:
    """A figure of one slice of every image, with the grey scale of the reference."""
    from haca3_bids.reports.charts import HEAD_AXIAL_MM, slices, svg
    from haca3_bids.reports.planes import white_end

    figure = slices(images, HEAD_AXIAL_MM, white=dict.fromkeys(images, white_end(images["reference"])))
    return Drawing(f"{contrast}, one subject", svg(figure), caption="An axial slice of the first pair of sessions.")
