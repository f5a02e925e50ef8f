"""``haca3 train baseline METHOD``: another method of harmonization, for the protocols of two sites."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from haca3_bids.bids.atomic import read_json
from haca3_bids.bids.results import images_of
from haca3_bids.cli.train_identity import identity
from haca3_bids.errors import BadInput, UsageError
from haca3_bids.settings import CONTRASTS
from haca3_bids.training.identity import RANDOM

if TYPE_CHECKING:
    from haca3_bids.physics.anatomy import Anatomy
    from haca3_bids.physics.signal import Protocol
    from haca3_bids.training.baselines.two_sites import Sites
    from haca3_bids.training.run import Setting

METHODS = {"cyclegan": 1, "cut": 1, "adeli": 1, "calamiti": 2, "deepharmony": 1}  # and how many contrasts they need
STEPS, RATE = 2000, 2e-4
CONTRAST = "T1w"  # to harmonize, unless another one is asked for


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The method, the two sites and the contrast."""
    parser.add_argument("method", nargs="?", choices=list(METHODS), help="method to train as a baseline")
    sites = parser.add_argument_group("sites of a baseline")
    sites.add_argument(
        "--source", type=Path, metavar="SESSION", help="BIDS session whose sidecars describe the site to harmonize"
    )
    sites.add_argument(
        "--target", type=Path, metavar="SESSION", help="BIDS session whose sidecars describe the site to harmonize to"
    )
    sites.add_argument("--contrast", choices=CONTRASTS, help=f"contrast to harmonize (default: {CONTRAST})")
    sites.add_argument(
        "--apply",
        type=Path,
        metavar="DERIVATIVES",
        help="output folder of haca3-bids, whose preprocessed images of sessions with the label of --source are "
        "harmonized after the training",
    )


def check(args: argparse.Namespace) -> None:
    """UsageError if a baseline lacks its method or its sites, or if something else has a method."""
    if args.what != "baseline":
        if args.method:
            raise UsageError(
                f"haca3 train {args.what} does not accept a method ({args.method}).",
                "Only haca3 train baseline accepts one.",
            )
        return
    if not (args.method and args.source and args.target):
        raise UsageError(
            "A baseline needs a method and two sites.",
            "haca3 train baseline METHOD --source SESSION --target SESSION --simulate LABELS --out RUN; "
            f"METHOD is one of {', '.join(METHODS)}.",
        )
    _sites(args)  # rejects what is missing before heads are made
    _scans(args)


def train(args: argparse.Namespace, heads: list[Anatomy], kept: list[Anatomy], setting: Setting) -> None:
    """Train the baseline, or resume."""
    from haca3_bids.training.baselines.run import apply_baseline, train_baseline

    folder, about = args.out / args.method, identity(args, RANDOM)
    network = train_baseline(args.method, heads[1:] + kept, _sites(args), folder, setting, about)
    if setting.machine.leads:
        apply_baseline(network, args.contrast or CONTRAST, _scans(args), folder / "images")


def _scans(args: argparse.Namespace) -> list[Path]:
    """The preprocessed images to harmonize; BadInput where there are none."""
    if not args.apply:
        return []
    contrast, session = args.contrast or CONTRAST, args.source.name if args.source.name.startswith("ses-") else ""
    wanted = ("preproc", contrast, session)
    found = [image.path for image in images_of(args.apply) if (image.desc, image.contrast, image.session) == wanted]
    if not found:
        raise BadInput(
            f"{args.apply.resolve().name} has no desc-preproc {contrast} of {session or 'scans without session'}.",
            "Give the output folder of haca3-bids, with sessions that have the label of --source.",
        )
    return found


def _sites(args: argparse.Namespace) -> Sites:
    """The protocols of both sites; UsageError where a sidecar is missing."""
    from haca3_bids.training.baselines.two_sites import Sites

    source, target = _protocols(args.source), _protocols(args.target)
    shared = [contrast for contrast in CONTRASTS if contrast in source and contrast in target]
    first, count = args.contrast or CONTRAST, METHODS[args.method]
    chosen = sorted(shared, key=lambda contrast: contrast != first)[:count]
    if first not in chosen or len(chosen) < count:
        wanted = first if count == 1 else f"{first} and one more contrast"
        raise UsageError(
            f"{args.method} needs sidecars of {wanted} in both sessions; they share {', '.join(shared) or 'none'}.",
            "Give folders of sessions with --source and --target, such as BIDS_DIR/sub-01/ses-1.",
        )
    one, other = ({contrast: site[contrast] for contrast in chosen} for site in (source, target))
    return Sites(one, other, tuple(chosen))


def _protocols(session: Path) -> dict[str, Protocol]:
    """Contrast -> protocol, of the first sidecar of each contrast in a session."""
    from haca3_bids.physics.described import protocol_from_sidecar

    first = {contrast: path for contrast in CONTRASTS for path in sorted(session.glob(f"anat/*_{contrast}.json"))[:1]}
    return {contrast: protocol_from_sidecar(contrast, read_json(path) or {}) for contrast, path in first.items()}
