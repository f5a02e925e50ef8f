"""``haca3 evaluate travelling``: the same people at several sites, before and after harmonization, beside baselines."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from haca3_bids.cli.evaluate.given import add_brain, brain_in_words, brain_of
from haca3_bids.cli.evaluate.inputs import bad_input
from haca3_bids.cli.evaluate.pairs import BEFORE, Pair, choose
from haca3_bids.errors import BadInput
from haca3_bids.records.findings import Column, Drawing, Findings, Table, Value
from haca3_bids.settings import CONTRASTS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from haca3_bids.volumes.volume import Volume

    Mask = NDArray[np.bool_]

HELP = "PSNR and SSIM between scans of the same subjects at several sites, before and after harmonization"
MATCHED = "histogram matching"
PLACES = ("brain", "head")
MEASURES = {  # column: short name
    "psnr_brain_db": "PSNR, brain (dB)",
    "ssim_brain": "SSIM, brain",
    "psnr_head_db": "PSNR, head (dB)",
    "ssim_head": "SSIM, head",
}
CONTRAST, METHOD = Column("contrast", "Contrast of the images"), Column("method", "Method that made the image")
NUMBERS = tuple(
    Column(
        name,
        f"{'Peak signal-to-noise ratio' if name.startswith('psnr') else 'Mean structural similarity'} within the "
        f"{name.split('_')[1]}, after multiplication of the image by the factor that fits it best to the reference "
        f"there; {'higher is better' if name.startswith('psnr') else '1 means identical'}",
        "dB" if name.startswith("psnr") else "",
    )
    for name in MEASURES
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
    "means": (CONTRAST, METHOD, Column("people", "Number of subjects"), *NUMBERS),
    "tests": (
        CONTRAST,
        METHOD,
        Column("baseline", "Method that it is compared with"),
        Column("people", "Number of subjects that have both"),
        *(
            column
            for name, words in MEASURES.items()
            for column in (
                Column(f"difference_{name}", f"{words}: mean difference, method minus baseline"),
                Column(f"p_{name}", f"{words}: p of the two-sided Wilcoxon signed-rank test over subjects"),
            )
        ),
    ),
}
AXIAL_MM = 12.0  # the slice that is shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The dataset, which images of it, and what stands beside them."""
    parser.add_argument("dataset", type=Path, help="output folder of haca3-bids")
    parser.add_argument(
        "--target",
        type=_session,
        metavar="sub-X_ses-Y",
        help="session whose contrast the images were harmonized to; they are compared with the scans of the same "
        "subject in sessions of that name (default: sessions of a subject are compared with each other)",
    )
    parser.add_argument("--contrast", nargs="+", choices=CONTRASTS, help="contrasts to compare (default: all)")
    parser.add_argument("--before", default="preproc", metavar="DESC", help="desc of images before (default: preproc)")
    parser.add_argument(
        "--after", nargs="+", metavar="DESC", help="desc of harmonized images (default: haca3..., if there is only one)"
    )
    parser.add_argument(
        "--method",
        action="append",
        default=[],
        type=_named_folder,
        metavar="NAME=DIR",
        help="images of another method with the same file names as the harmonized or preprocessed images; repeatable",
    )
    add_brain(parser)


def _session(text: str) -> str:
    if not re.fullmatch(r"sub-[A-Za-z0-9+]+_ses-[A-Za-z0-9+]+", text):
        raise argparse.ArgumentTypeError(f"{text} is not sub-X_ses-Y")
    return text


def _named_folder(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if not equals or not name or not folder or name == BEFORE:
        raise argparse.ArgumentTypeError(f"{text} is not NAME=DIR")
    return name, Path(folder)


@dataclass
class _Seen:
    """What accumulates from pair to pair."""

    rows: list[dict[str, Value]] = field(default_factory=list)
    shown: dict[str, dict[str, Volume]] = field(default_factory=dict)  # contrast -> images of the first pair
    heads: dict[Path, Mask] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)  # why a baseline is missing, and where first


def run(args: argparse.Namespace) -> Findings:
    """Rows per subject and method, means, and tests of all methods against the scans and of the last against all."""
    choice, seen = choose(args), _Seen()
    for number, pair in enumerate(choice.pairs, start=1):
        print(f"{number} of {len(choice.pairs)}: {pair.scan.session_name} {pair.contrast}", file=sys.stderr)
        _measure(pair, args, seen)
    from haca3_bids.evaluation.methods import difference_rows, mean_rows
    from haca3_bids.evaluation.normalization import METHODS

    people = len({row["participant_id"] for row in seen.rows})
    notes = [
        f"The data range of PSNR and SSIM is the 95th percentile of the reference in the head. The head is found by "
        f"Otsu's method in the unharmonized reference; the brain is {brain_in_words(args.brain)}.",
        "Histogram matching uses all of the head; Nyul, WhiteStripe and z-score use the brain and are extrapolated "
        "outside it.",
        f"With {people} subject{'s' * (people != 1)} no p can be smaller than {min(1.0, 2.0 ** (1 - people)):.2g}; p "
        "is not corrected for multiple tests.",
        *choice.notes,
        *(f"{method} {why}" for method, why in seen.failed.items()),
    ]
    tables = {
        "travelling": Table(COLUMNS["travelling"], seen.rows),
        "means": Table(COLUMNS["means"], list(mean_rows(seen.rows, MEASURES)), "Means over subjects."),
        "tests": Table(
            COLUMNS["tests"],
            list(difference_rows(seen.rows, MEASURES, (MATCHED, *METHODS))),
            "Paired differences over subjects: each method minus its baseline.",
        ),
    }
    return Findings(choice.sentence, tables, _drawings(seen) if args.out else (), notes)


def _head(path: Path, image: Volume, seen: _Seen) -> Mask:
    """The head in an image, found once."""
    from haca3_bids.intensity.background import head_mask

    if path not in seen.heads:
        seen.heads[path] = head_mask(image.data)
    return seen.heads[path]


def _measure(pair: Pair, args: argparse.Namespace, seen: _Seen) -> None:
    """The rows of one pair of sessions, for every method."""
    from haca3_bids.evaluation.similarity import fitted
    from haca3_bids.volumes.volume import load_volume

    reference = load_volume(pair.reference.path)
    head = _head(pair.reference.path, reference, seen)
    brain = brain_of(pair.reference, reference, args.brain) & head
    about: dict[str, Value] = {
        "participant_id": pair.scan.participant,
        "session_id": pair.scan.session,
        "reference_session_id": pair.reference.session,
        "contrast": pair.contrast,
    }
    first = seen.shown.setdefault(pair.contrast, {})
    keep = not first
    for method, image, truth in _images(pair, reference, head, brain, seen):
        row = about | {"method": method}
        for place, mask in zip(PLACES, (brain, head), strict=True):
            with bad_input():
                found = fitted(image.data, truth.data, mask, head)
            row |= {f"psnr_{place}_db": found.psnr_db, f"ssim_{place}": found.ssim}
        seen.rows.append(row)
        if keep:
            first[method] = image
    if keep:
        first["reference"] = reference


def _images(
    pair: Pair, reference: Volume, head: Mask, brain: Mask, seen: _Seen
) -> Iterator[tuple[str, Volume, Volume]]:
    """Every method with its image and the image that it shall be like; BadInput where grids differ."""
    from haca3_bids.volumes.volume import load_volume

    scan: Volume | None = None
    for name, (path, other) in pair.methods.items():
        image, truth = load_volume(path), reference if other == pair.reference.path else load_volume(other)
        for file, volume in ((path, image), (other, truth)):
            if not volume.has_grid_of(reference):
                raise BadInput(
                    f"{file.name} does not share the grid of {pair.reference.path.name}.",
                    "Compare images in template space.",
                )
        yield name, image, truth
        if scan is None:  # the first is unharmonized; the baselines that are made from it follow
            scan = image
            for baseline, made in _baselines(pair, scan, head, brain, seen):
                yield baseline, made, reference


def _baselines(pair: Pair, scan: Volume, head: Mask, brain: Mask, seen: _Seen) -> Iterator[tuple[str, Volume]]:
    """The scan with the intensities of the guide, by histogram matching and by normalizations."""
    from haca3_bids.evaluation import normalization
    from haca3_bids.evaluation.histogram import matched
    from haca3_bids.volumes.volume import load_volume

    guide = load_volume(pair.guide.path)
    if not guide.has_grid_of(scan):
        raise BadInput(f"{pair.guide.path.name} does not share the grid of {pair.scan.path.name}.")
    guide_head = _head(pair.guide.path, guide, seen)
    yield MATCHED, scan.with_data(matched(scan.data, head, guide.data, guide_head))
    for method in normalization.METHODS:
        try:
            made = normalization.normalized(method, scan.data, brain, guide.data, brain & guide_head, pair.contrast)
        except ImportError:
            seen.failed[method] = "is left out; pip install intensity-normalization adds it."
            continue
        except ValueError as error:
            seen.failed.setdefault(method, f"has no image of {pair.scan.session_name}, {pair.contrast}: {error}.")
            continue
        yield method, scan.with_data(made)


def _drawings(seen: _Seen) -> list[Drawing]:
    """One slice of the first pair in each contrast, then the measures of everybody."""
    from haca3_bids.evaluation.methods import methods_of, person_means
    from haca3_bids.reports.charts import dots, panels, slices, svg

    made = [
        Drawing(f"{contrast}, one subject", svg(slices(images, AXIAL_MM)), caption="An axial slice of the first pair.")
        for contrast, images in seen.shown.items()
    ]
    groups = methods_of(seen.rows)
    for measure, words in MEASURES.items():
        figure, axes = panels([str(contrast) for (contrast,) in groups], words)
        for one, (group, methods) in zip(axes, groups.items(), strict=True):
            own = {method: person_means(seen.rows, group, method, measure) for method in methods}
            people = list(dict.fromkeys(person for values in own.values() for person in values))
            dots(one, {name: [values.get(person) for person in people] for name, values in own.items()})
        caption = "One dot per subject, those of a subject joined; bars: medians."
        made.append(Drawing(words, svg(figure), caption=caption))
    return made
