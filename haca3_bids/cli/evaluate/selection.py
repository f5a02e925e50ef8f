"""The images of every session by method: unharmonized, harmonized, and from the folders of other methods."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from haca3_bids.bids.results import TemplateImage, by_file_name, images_of
from haca3_bids.errors import BadInput
from haca3_bids.settings import CONTRASTS

BEFORE, HARMONIZED = "unharmonized", "harmonized"
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


def _named_folder(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if not equals or not name or not folder or name in (BEFORE, HARMONIZED):
        raise argparse.ArgumentTypeError(f"{text} is not NAME=DIR")
    return name, Path(folder)


@dataclass(frozen=True)
class Selection:
    """The images of one contrast."""

    contrast: str
    scans: Sessions  # unharmonized
    harmonized: Mapping[str, Sessions]  # by the name of the method
    folders: Mapping[str, Mapping[str, Path]]  # by the name of the method and of the file

    @property
    def has_harmonized(self) -> bool:
        """Whether any session has a harmonized image."""
        return any(key in own for own in self.harmonized.values() for key in self.scans)

    def files(self, scan: TemplateImage) -> dict[str, Path]:
        """The image of the session of a scan by every method that has one, the scan itself first."""
        key = scan.participant, scan.session
        made = {name: own[key].path for name, own in self.harmonized.items() if key in own}
        names = [path.name for path in (*made.values(), scan.path)]
        others = {
            method: next(files[name] for name in names if name in files)
            for method, files in self.folders.items()
            if any(name in files for name in names)
        }
        return {BEFORE: scan.path} | made | others


def select(args: argparse.Namespace) -> list[Selection]:
    """The requested contrasts; BadInput if the dataset has no harmonized images, or several kinds and no choice."""
    images = images_of(args.dataset)
    descs = args.after or [only_harmonized(images, args.dataset)]
    folders = {name: by_file_name(folder) for name, folder in args.method}
    present = {image.contrast for image in images}
    contrasts = args.contrast or [contrast for contrast in CONTRASTS if contrast in present]
    return [
        Selection(
            contrast,
            _sessions(images, args.before, contrast),
            {HARMONIZED if len(descs) == 1 else desc: _sessions(images, desc, contrast) for desc in descs},
            folders,
        )
        for contrast in contrasts
    ]


def in_words(args: argparse.Namespace) -> str:
    """A description of the requested images by desc entity."""
    return f"desc-{args.before} and desc-{' or desc-'.join(args.after or ['haca3'])} images"


def add_two_descs(parser: argparse._ActionsContainer) -> None:
    """Add options for the desc of images before and after harmonization."""
    parser.add_argument("--before", default="preproc", metavar="DESC", help="desc of images before (default: preproc)")
    parser.add_argument(
        "--after", metavar="DESC", help="desc of images after (default: haca3..., if there is only one)"
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


def _sessions(images: Sequence[TemplateImage], desc: str, contrast: str) -> Sessions:
    return {
        (image.participant, image.session): image
        for image in images
        if (image.desc, image.contrast) == (desc, contrast)
    }
