"""The pairs of images of travelling subjects that are compared."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from haca3_bids.bids.results import TemplateImage, sidecar_of
from haca3_bids.cli.evaluate.selection import BEFORE, HARMONIZED, Selection, Sessions, in_words, left_out, select
from haca3_bids.errors import BadInput
from haca3_bids.training.baselines import CONFIG

Three = tuple[TemplateImage, TemplateImage, TemplateImage]


@dataclass(frozen=True)
class Pair:
    """Two sessions of a subject in one contrast, with the image and reference image of every method."""

    contrast: str
    scan: TemplateImage  # unharmonized
    reference: TemplateImage  # unharmonized, of the other session
    guide: TemplateImage  # reference of histogram matching and normalizations
    methods: Mapping[str, tuple[Path, Path]]  # image and its reference; unharmonized first


@dataclass(frozen=True)
class Choice:
    """The comparisons in a dataset, with a summary and notes."""

    pairs: Sequence[Pair]
    sentence: str
    notes: Sequence[str]


def choose(args: argparse.Namespace, taken: Sequence[str] = ()) -> Choice:
    """The requested pairs; BadInput if there are none. ``taken`` are the names of methods that are added later."""
    pairs, people = [], set()
    for selection in select(args, taken):
        scans = selection.scans
        people |= {participant for participant, _ in scans}
        for scan, reference, guide in _targeted(scans, args.target) if args.target else _all_pairs(scans):
            methods = _methods(selection, scan, reference, bool(args.target))
            if set(methods) & set(selection.harmonized):
                pairs.append(Pair(selection.contrast, scan, reference, guide, methods))
    if not pairs:
        raise _nobody(args)
    alone = people - {pair.scan.participant for pair in pairs} - {(args.target or "").partition("_")[0]}
    left = left_out(alone, "no pair of sessions with these images")
    notes = [*_elsewhere(pairs, args), *left, *_missing(pairs), *_reimplemented(args)]
    return Choice(pairs, _sentence(args), notes)


def _all_pairs(scans: Sessions) -> Iterator[Three]:
    """Every pair of sessions of each subject; the later one is reference and guide."""
    for one, other in combinations(sorted(scans), 2):
        if one[0] == other[0]:
            yield scans[one], scans[other], scans[other]


def _targeted(scans: Sessions, target: str) -> Iterator[Three]:
    """Each session of the other subjects with their session at the site of the target, and the target as guide."""
    person, _, label = target.partition("_")
    guide = scans.get((person, label))
    if guide is None:
        return
    for who, session in sorted(scans):
        if who != person and session != label and (who, label) in scans:
            yield scans[who, session], scans[who, label], guide


def _methods(
    selection: Selection, scan: TemplateImage, reference: TemplateImage, targeted: bool
) -> dict[str, tuple[Path, Path]]:
    """Image and reference of each method; images harmonized to a target have the unharmonized reference."""
    here, there = selection.files(scan), selection.files(reference)
    if targeted:
        return {name: (path, there[BEFORE]) for name, path in here.items()}
    return {name: (path, there[name]) for name, path in here.items() if name in there}


def _nobody(args: argparse.Namespace) -> BadInput:
    name = args.dataset.resolve().name
    if args.target:
        return BadInput(
            f"{name} has no subject other than the target's with two sessions, one of them at the site of "
            f"{args.target}, with {in_words(args)}.",
            "Sessions at one site need the same session label, and at least one other subject must have travelled.",
        )
    return BadInput(
        f"{name} has no subject with two sessions that have {in_words(args)}.",
        "Give the output folder of haca3-bids; --contrast, --before and --after must match the file names.",
    )


def _sentence(args: argparse.Namespace) -> str:
    if args.target:
        return (
            f"Each subject's images, harmonized to the contrast of {args.target}, are compared with the same subject's "
            f"unharmonized images of the session {args.target.partition('_')[2]}; the subject of the target is left "
            "out, because the comparison would be with the target itself."
        )
    return (
        "Each subject's sessions are compared with each other, in pairs: both unharmonized, or both harmonized by the "
        "same method; histogram matching and normalizations bring the first to the intensities of the second."
    )


def _elsewhere(pairs: Sequence[Pair], args: argparse.Namespace) -> list[str]:
    """A note if harmonized images have another target, according to their sidecars."""
    files = [image for pair in pairs for name, (image, _) in pair.methods.items() if name == HARMONIZED]
    origins = {str(sidecar_of(file).get("Target", {}).get("Origin", "")) for file in files}
    others = sorted(origin for origin in origins if origin and args.target and args.target not in origin)
    return [f"The target of harmonized images was not {args.target}, but: {others[0]}."] if others else []


def _missing(pairs: Sequence[Pair]) -> list[str]:
    """A note for each method that lacks some of the images."""
    names = dict.fromkeys(name for pair in pairs for name in pair.methods)
    lacking = {name: sum(name not in pair.methods for pair in pairs) for name in names}
    return [f"{name} has no images of {count} of the {len(pairs)} pairs." for name, count in lacking.items() if count]


def _reimplemented(args: argparse.Namespace) -> list[str]:
    """A note on the methods that ``haca3 train baseline`` trained."""
    names = [name for name, folder in args.method for place in (folder, folder.parent) if (place / CONFIG).exists()]
    return [
        f"{name} is a small re-implementation (haca3 train baseline), not the program of the method's authors."
        for name in names
    ]
