"""The images of every session by method: unharmonized, harmonized, and from the folders of other methods."""

import argparse
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from haca3_bids.bids.results import TemplateImage, by_file_name, images_of
from haca3_bids.errors import BadInput, UsageError
from haca3_bids.settings import CONTRASTS

BEFORE, HARMONIZED = "unharmonized", "harmonized"
SHOWN = 5  # names in a note
Key = tuple[str, str]  # participant and session
Sessions = Mapping[Key, TemplateImage]


def add_selection(parser: argparse.ArgumentParser, contrasts: Sequence[str] = ()) -> None:
    """Add options for the dataset, its images (of ``contrasts`` by default, else all) and other methods."""
    usual = " ".join(contrasts) or "all"
    parser.add_argument("dataset", type=Path, help="output folder of haca3-bids")
    parser.add_argument(
        "--contrast",
        nargs="+",
        choices=CONTRASTS,
        default=list(contrasts),
        help=f"contrasts to compare (default: {usual})",
    )
    _add_before(parser)
    parser.add_argument(
        "--after",
        nargs="+",
        metavar="DESC",
        help="desc entities of the harmonized images (default: haca3..., if there is only one)",
    )
    parser.add_argument(
        "--method",
        action="append",
        default=[],
        type=_named_folder,
        metavar="NAME=DIR",
        help="images of another method with the file names of the harmonized images, or of the preprocessed ones if "
        "there are none of these; repeatable",
    )


def _add_before(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--before",
        default="preproc",
        metavar="DESC",
        help="desc entity of the images before harmonization (default: preproc)",
    )


def _named_folder(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if not equals or not name or not folder:
        raise argparse.ArgumentTypeError(f"{text} is not NAME=DIR")
    if name in (BEFORE, HARMONIZED):
        raise argparse.ArgumentTypeError(f"the name {name} is reserved; choose another one")
    return name, Path(folder)


@dataclass(frozen=True)
class Selection:
    """The images of one contrast."""

    contrast: str
    scans: Sessions  # unharmonized
    harmonized: Mapping[str, Sessions]  # by the name of the method
    folders: Mapping[str, Sessions]  # by the name of the method

    @property
    def has_harmonized(self) -> bool:
        """Whether any session has a harmonized image."""
        return any(key in own for own in self.harmonized.values() for key in self.scans)

    def files(self, scan: TemplateImage) -> dict[str, Path]:
        """The image of the session of a scan by every method that has one, the scan itself first."""
        key = scan.participant, scan.session
        methods = {**self.harmonized, **self.folders}.items()
        return {BEFORE: scan.path} | {name: own[key].path for name, own in methods if key in own}


def select(args: argparse.Namespace, taken: Sequence[str] = ()) -> list[Selection]:
    """The requested contrasts; BadInput if the dataset has no harmonized images, or several kinds and no choice.

    UsageError if two methods have the same name; those in ``taken`` are others.
    """
    images = images_of(args.dataset)
    descs = args.after or [only_harmonized(images, args.dataset)]
    if args.before in descs:
        raise UsageError(f"--before and --after are both {args.before}.", "Name the harmonized images with --after.")
    names = [*taken, *(descs if len(descs) > 1 else ()), *(name for name, _ in args.method)]
    twice = [name for place, name in enumerate(names) if name in names[:place]]
    if twice:
        raise UsageError(f"There are two methods called {twice[0]}.", "Choose other names in --method NAME=DIR.")
    folders = {name: _of_folder(folder, images, [*descs, args.before]) for name, folder in args.method}
    present = {image.contrast for image in images}
    absent = [contrast for contrast in args.contrast if contrast not in present]
    if absent and set(absent) != set(args.contrast):
        raise BadInput(f"{args.dataset.resolve().name} has no {' or '.join(absent)} images.", "Choose with --contrast.")
    contrasts = args.contrast or [contrast for contrast in CONTRASTS if contrast in present]
    return [
        Selection(
            contrast,
            sessions_of(images, args.before, contrast),
            {HARMONIZED if len(descs) == 1 else desc: sessions_of(images, desc, contrast) for desc in descs},
            {name: sessions_of(own, None, contrast) for name, own in folders.items()},
        )
        for contrast in contrasts
    ]


def _of_folder(folder: Path, images: Sequence[TemplateImage], descs: Sequence[str]) -> list[TemplateImage]:
    """The images of another method, which are named as those with the first of ``descs`` that occurs in the folder.

    BadInput if there are none; the preprocessed images of another output folder of haca3-bids are not its result.
    """
    files = by_file_name(folder)
    for desc in descs:
        found = [
            replace(image, path=files[image.path.name])
            for image in images
            if image.desc == desc and image.path.name in files
        ]
        if found and (desc != descs[-1] or not any("_desc-haca3" in name for name in files)):
            return found
    raise BadInput(
        f"{folder.name} has no image with the name of one with desc-{' or desc-'.join(descs)}.",
        "Give the images of another method the names of the harmonized images, such as "
        f"{next(image.path.name for image in images if image.desc in descs)}.",
    )


def left_out(names: Collection[str], lacking: str) -> list[str]:
    """A note on subjects or sessions that are not evaluated because of what they lack; none if there are none."""
    if not names:
        return []
    shown = ", ".join(sorted(names)[:SHOWN])
    return [f"Left out: {shown}{', ...' if len(names) > SHOWN else ''} ({len(names)} with {lacking})."]


def in_words(args: argparse.Namespace) -> str:
    """A description of the requested images by desc entity."""
    return f"desc-{args.before} and desc-{' or desc-'.join(args.after or ['haca3'])} images"


def add_two_descs(parser: argparse._ActionsContainer) -> None:
    """Add options for the desc of images before and after harmonization."""
    _add_before(parser)
    parser.add_argument(
        "--after",
        metavar="DESC",
        help="desc entity of the images after harmonization (default: haca3..., if there is only one)",
    )


def only_harmonized(images: Iterable[TemplateImage], dataset: Path) -> str:
    """The desc of the harmonized images; BadInput if there are none, or several kinds."""
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


def complete_sessions(
    images: Sequence[TemplateImage], descs: Collection[str], contrasts: Collection[str]
) -> tuple[dict[Key, dict[str, dict[str, TemplateImage]]], set[str]]:
    """The images by desc and contrast of the sessions that have all of them, and the names of the others.

    BadInput if a session has several images of one kind.
    """
    found = {(desc, contrast): sessions_of(images, desc, contrast) for desc in descs for contrast in contrasts}
    keys = dict.fromkeys(key for own in found.values() for key in own)
    whole = {
        key: {desc: {contrast: found[desc, contrast][key] for contrast in contrasts} for desc in descs}
        for key in keys
        if all(key in own for own in found.values())
    }
    return whole, {"_".join(filter(None, key)) for key in keys if key not in whole}


def sessions_of(images: Sequence[TemplateImage], desc: str | None, contrast: str) -> Sessions:
    """The images of a contrast by session, with any desc if it is None; BadInput if a session has several."""
    found: dict[Key, TemplateImage] = {}
    for image in images:
        if image.contrast == contrast and desc in (None, image.desc):
            other = found.setdefault((image.participant, image.session), image)
            if other is not image:
                raise BadInput(
                    f"{other.path.name} and {image.path.name} are images of one session.",
                    "Keep the images of one space and resolution in the dataset.",
                )
    return found
