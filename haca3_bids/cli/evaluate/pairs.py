"""Which images of travelling subjects are compared with which."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from haca3_bids.bids.results import TemplateImage, by_file_name, images_of
from haca3_bids.errors import BadInput

BEFORE = "unharmonized"
HARMONIZED = "harmonized"
Sessions = Mapping[tuple[str, str], TemplateImage]  # (participant, session) -> image of one desc and contrast


@dataclass(frozen=True)
class Pair:
    """Two sessions of a person in one contrast; for every method its image, and the image that it shall be like."""

    contrast: str
    scan: TemplateImage  # unharmonized
    reference: TemplateImage  # unharmonized, of the other session
    guide: TemplateImage  # whose intensities histogram matching and normalizations take
    methods: Mapping[str, tuple[Path, Path]]


@dataclass(frozen=True)
class Choice:
    """What is compared in a dataset."""

    pairs: Sequence[Pair]
    sentence: str
    notes: Sequence[str]


def choose(args: argparse.Namespace) -> Choice:
    """The pairs that the command line asks for; BadInput where there are none."""
    images = images_of(args.dataset)
    contrasts = args.contrast or list(dict.fromkeys(image.contrast for image in images))
    descs = args.after or [_only_harmonized(images, args.dataset)]
    folders = {name: by_file_name(folder) for name, folder in args.method}
    pairs: list[Pair] = []
    for contrast in contrasts:
        of = {desc: _sessions(images, desc, contrast) for desc in (args.before, *descs)}
        both = _targeted(of[args.before], args) if args.target else _all_pairs(of[args.before])
        pairs += [
            Pair(contrast, scan, reference, guide, _methods(scan, reference, of, descs, folders, bool(args.target)))
            for scan, reference, guide in both
        ]
    pairs = [pair for pair in pairs if any(name == HARMONIZED or name in descs for name in pair.methods)]
    if not pairs:
        raise _nobody(args, descs)
    return Choice(pairs, _sentence(args), _missing(pairs))


def _only_harmonized(images: Iterable[TemplateImage], dataset: Path) -> str:
    found = sorted(
        {image.desc for image in images if image.desc.startswith("haca3") and not image.desc.endswith("Std")}
    )
    if len(found) != 1:
        known = ", ".join(found) or "none"
        raise BadInput(
            f"{dataset.resolve().name} has {len(found)} kinds of harmonized images ({known}).",
            "Choose with --after DESC." if found else "Give the output folder of haca3-bids.",
        )
    return found[0]


def _sessions(images: Iterable[TemplateImage], desc: str, contrast: str) -> Sessions:
    return {
        (image.participant, image.session): image
        for image in images
        if (image.desc, image.contrast) == (desc, contrast)
    }


def _all_pairs(scans: Sessions) -> Iterator[tuple[TemplateImage, TemplateImage, TemplateImage]]:
    """Every pair of sessions of each person; the later one is the reference."""
    for one, other in combinations(sorted(scans), 2):
        if one[0] == other[0]:
            yield scans[one], scans[other], scans[other]


def _targeted(
    scans: Sessions, args: argparse.Namespace
) -> Iterator[tuple[TemplateImage, TemplateImage, TemplateImage]]:
    """Each session of everybody but the target's person, with the session of the same person at the target's site."""
    person, _, label = args.target.partition("_")
    guide = scans.get((person, label))
    if guide is None:
        return
    for who, session in sorted(scans):
        if who != person and session != label and (who, label) in scans:
            yield scans[who, session], scans[who, label], guide


def _methods(
    scan: TemplateImage,
    reference: TemplateImage,
    of: Mapping[str, Sessions],
    descs: Sequence[str],
    folders: Mapping[str, Mapping[str, Path]],
    targeted: bool,
) -> dict[str, tuple[Path, Path]]:
    """The methods that have this pair: harmonized to a target, the image is to be like the unharmonized reference."""
    found = {BEFORE: (scan.path, reference.path)}
    here, there = (scan.participant, scan.session), (reference.participant, reference.session)
    for desc in descs:
        own = of[desc]
        if here in own and (targeted or there in own):
            other = reference.path if targeted else own[there].path
            found[HARMONIZED if len(descs) == 1 else desc] = (own[here].path, other)
    for name, files in folders.items():
        names = [[of[desc][key].path.name for desc in descs if key in of[desc]] for key in (here, there)]
        own_file, other_file = (
            next((files[one] for one in (*known, image.path.name) if one in files), None)
            for known, image in zip(names, (scan, reference), strict=True)
        )
        if own_file and (targeted or other_file):
            found[name] = (own_file, reference.path if targeted or other_file is None else other_file)
    return found


def _nobody(args: argparse.Namespace, descs: Sequence[str]) -> BadInput:
    wanted = f"desc-{args.before} and desc-{' or desc-'.join(descs)} images"
    name = args.dataset.resolve().name
    if args.target:
        return BadInput(
            f"Nobody in {name} but the target's person has two sessions, one of them at the site of {args.target}, "
            f"with {wanted}.",
            "Sessions at one site need the same session label, and at least one other person must have travelled.",
        )
    return BadInput(
        f"{name} has nobody with two sessions that have {wanted}.",
        "Give the output folder of haca3-bids, and --contrast, --before and --after as the files are called.",
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


def _missing(pairs: Sequence[Pair]) -> list[str]:
    """A note for each method that lacks some of the images."""
    names = dict.fromkeys(name for pair in pairs for name in pair.methods)
    lacking = {name: sum(name not in pair.methods for pair in pairs) for name in names}
    return [f"{name} has no images of {count} of the {len(pairs)} pairs." for name, count in lacking.items() if count]
