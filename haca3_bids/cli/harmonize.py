"""Harmonize preprocessed images of one session: registered to each other, on one upright grid of about 1 mm."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from haca3_bids.bids.names import IMAGE_EXTENSIONS
from haca3_bids.cli.command import add_threads, check_least
from haca3_bids.cli.configure import check_samples
from haca3_bids.cli.options import add_options, typed
from haca3_bids.errors import CannotCreate, UsageError
from haca3_bids.option import options_of
from haca3_bids.settings import CONTRASTS, HarmonizationSettings, OutputSettings

if TYPE_CHECKING:
    from haca3_bids.checkpoints.formats import Checkpoint
    from haca3_bids.harmonization.engine import Harmonized
    from haca3_bids.harmonization.target import Target
    from haca3_bids.networks.fusion import FusionNet
    from haca3_bids.records.engine import EngineResult, HarmonizedImage
    from haca3_bids.volumes.volume import Volume

OPTIONS = options_of(HarmonizationSettings)  # those of haca3-bids
EXTRAS = tuple(option for option in options_of(OutputSettings) if option.field == "extras")
LOGGER = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options for sources, target, output and networks."""
    images = parser.add_argument_group("images")
    images.add_argument(
        "--source",
        action="append",
        required=True,
        type=_pair,
        metavar="CONTRAST=FILE",
        help=f"source image; repeat for each contrast ({', '.join(CONTRASTS)})",
    )
    images.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="output image (.nii or .nii.gz), with a .json sidecar"
    )
    add_options(images, EXTRAS)
    images.add_argument(
        "--coverage",
        action="append",
        default=[],
        type=_pair,
        metavar="CONTRAST=MASK",
        help="field of view of a source; repeat for each contrast (default: estimated from the image)",
    )
    images.add_argument(
        "--white-matter", type=Path, metavar="MASK", help="mask of white matter; its peak is scaled to 1000"
    )
    images.add_argument("--head-mask", type=Path, metavar="MASK", help="mask of the head; the output is zero outside")
    images.add_argument(
        "--force",
        choices=("orientation",),
        help="orientation: accept images whose header does not define left and right",
    )
    _add_target(parser.add_argument_group("target", "exactly one of --target, --target-image and --theta is required"))
    run = parser.add_argument_group("harmonization")
    add_options(run, OPTIONS)
    run.add_argument(
        "--like-authors", dest="engine", action="store_const", const="authors", help="same as --engine authors"
    )
    add_threads(run)
    run.add_argument("--verbose", action="store_true", help="report progress")


def _add_target(group: argparse._ArgumentGroup) -> None:
    one = group.add_mutually_exclusive_group(required=True)
    one.add_argument("--target", choices=CONTRASTS, help="built-in reference of this contrast")
    one.add_argument("--target-image", type=Path, metavar="FILE", help="image whose contrast to match")
    one.add_argument(
        "--theta", type=float, nargs=2, metavar=("THETA0", "THETA1"), help="contrast as numbers (HACA3 weights only)"
    )
    group.add_argument(
        "--eta",
        type=float,
        nargs=2,
        metavar=("ETA0", "ETA1"),
        help="artifact level of the target of --theta (default: 0.3 0.5)",
    )
    group.add_argument(
        "--contrast",
        help="contrast of --target-image or --theta, for the sidecar and the mixture model (default: taken from the "
        "name of --target-image)",
    )


def main(options: argparse.Namespace) -> int:
    """Harmonize, and write the image with its sidecar."""
    logging.basicConfig(level=logging.INFO if options.verbose else logging.WARNING, format="%(message)s")
    _check(options)
    from haca3_bids.harmonization import job
    from haca3_bids.harmonization.device import choose_device

    start = time.monotonic()
    settings = HarmonizationSettings(**typed(OPTIONS, options), threads=options.threads)
    check_samples(settings, options.extra_outputs or ())
    choose_device(settings.device)
    networks = job.load_networks(settings)
    target = _target(options, networks.checkpoint, settings)
    image = _harmonized(options, target, networks.checkpoint, networks.fusion, settings)
    said = _said(job.facts(image, networks, settings, start)) | _said(image.record)
    _write(image, said | {"source_files": {contrast: path.name for contrast, path in options.source}}, options.out)
    return 0


def _said(record: EngineResult | HarmonizedImage) -> dict[str, object]:
    """The values of a record that are not empty."""
    return {key: value for key, value in dataclasses.asdict(record).items() if value not in (None, "", (), {})}


def _check(options: argparse.Namespace) -> None:
    """Reject impossible combinations before anything is computed."""
    for pairs, option in ((options.source, "--source"), (options.coverage, "--coverage")):
        if len(dict(pairs)) < len(pairs):
            raise UsageError(f"{option} is given twice for one contrast.", "Give one image per contrast.")
    if options.eta and not options.theta:
        raise UsageError("--eta requires --theta.", "Images and built-in references come with their own eta.")
    if options.contrast and options.target:
        raise UsageError("--contrast has no effect with --target.", "A built-in reference has its own contrast.")
    check_least(options, threads=0)
    out: Path = options.out
    if not out.name.endswith(IMAGE_EXTENSIONS):
        raise UsageError(f"--out {out.name} is not the name of a NIfTI file.", "It must end in .nii or .nii.gz.")
    if not out.parent.is_dir():
        raise CannotCreate(f"The folder {out.parent} of --out does not exist.", "Create it first.")
    for contrast in dict(options.coverage).keys() - dict(options.source).keys():
        raise UsageError(f"--coverage {contrast} has no effect without a {contrast} source.", "Omit it.")
    _check_kept(options)


def _check_kept(options: argparse.Namespace) -> None:
    """UsageError if an output would replace an input or its sidecar."""
    out: Path = options.out
    given = [path for _, path in (*options.source, *options.coverage)]
    given += filter(None, (options.target_image, options.white_matter, options.head_mask))
    made = {_stem(out), *(f"{_stem(out)}_{part}" for part in ("std", "beta", *(f"attention{c}" for c in CONTRASTS)))}
    for path in given:
        if out.exists() and path.exists() and out.samefile(path):
            raise UsageError(f"--out {out.name} is one of the inputs.", "Choose another name.")
        if path.parent.resolve() == out.parent.resolve() and _stem(path) in made:
            raise UsageError(
                f"The outputs of --out {out.name} would replace {path.name} or its sidecar.", "Choose another name."
            )


def _stem(path: Path) -> str:
    """The name of an image without its extension."""
    return next((path.name.removesuffix(end) for end in IMAGE_EXTENSIONS if path.name.endswith(end)), path.name)


def _harmonized(
    options: argparse.Namespace,
    target: Target,
    checkpoint: Checkpoint,
    fusion: FusionNet | None,
    settings: HarmonizationSettings,
) -> Harmonized:
    from haca3_bids.harmonization.engine import harmonize

    def mask(path: Path) -> Volume:
        return _load(path, options, is_mask=True)

    (image,) = harmonize(
        {contrast: _load(path, options) for contrast, path in options.source},
        [target],
        checkpoint,
        fusion,
        settings,
        coverage={contrast: mask(path) for contrast, path in options.coverage},
        white_matter=mask(options.white_matter) if options.white_matter else None,
        head_mask=mask(options.head_mask) if options.head_mask else None,
        extras=options.extra_outputs or (),
    )
    return image


def _load(path: Path, options: argparse.Namespace, *, is_mask: bool = False) -> Volume:
    from haca3_bids.harmonization.prepare import unusual_grid
    from haca3_bids.volumes.scan import Scan, check_intensities
    from haca3_bids.volumes.volume import load_volume

    volume = load_volume(path, may_be_constant=is_mask, forced=options.force == "orientation")
    if is_mask:
        return volume
    check_intensities(Scan(volume), path.name)
    if found := unusual_grid(volume):
        LOGGER.warning(
            "%s %s. The networks work best on an upright grid of about 1 mm, to which haca3-bids resamples.",
            path.name,
            found,
        )
    return volume


def _write(image: Harmonized, sidecar: Mapping[str, object], out: Path) -> None:
    """Write the image, its sidecar and additional images."""
    from haca3_bids.bids.atomic import write_json
    from haca3_bids.volumes.volume import save_volume

    stem = _stem(out)
    suffix = out.name.removeprefix(stem)
    try:
        maps = {f"attention{contrast}": weights for contrast, weights in image.attention_maps.items()}
        for part, extra in ({"std": image.std, "beta": image.beta} | maps).items():
            if extra is not None:
                save_volume(extra, out.with_name(f"{stem}_{part}{suffix}"))
        save_volume(image.image, out)
        write_json(out.with_name(f"{stem}.json"), sidecar)
    except OSError as error:
        raise CannotCreate(f"{out} cannot be written ({error.strerror}).", "Is the disk full?") from error


def _target(options: argparse.Namespace, checkpoint: Checkpoint, settings: HarmonizationSettings) -> Target:
    from haca3_bids.execution.described_targets import MIXTURE
    from haca3_bids.harmonization.engine import encode_target
    from haca3_bids.harmonization.target import target_from_numbers, target_from_reference

    if options.target:
        return target_from_reference(options.target, checkpoint)
    if options.theta:
        return target_from_numbers(options.contrast or "", tuple(options.theta), tuple(options.eta or ()) or None)
    path: Path = options.target_image
    named = re.search(rf"(?:^|_)({'|'.join(CONTRASTS)})\.", path.name)
    contrast = options.contrast or (named[1] if named else "")
    if checkpoint.variant == MIXTURE and contrast not in CONTRASTS:  # the source whose details are carried over
        raise UsageError(
            f"The contrast of the target image {path.name} is unknown.",
            f"Give --contrast, one of {', '.join(CONTRASTS)}, or a file name that ends in it, such as _T1w.nii.gz.",
        )
    return encode_target(_load(path, options), contrast, checkpoint, settings, origin=f"the image {path.name}")


def _pair(text: str) -> tuple[str, Path]:
    contrast, equals, path = text.partition("=")
    if contrast not in CONTRASTS or not equals or not path:
        raise argparse.ArgumentTypeError(f"{text} is not CONTRAST=FILE; contrasts are {', '.join(CONTRASTS)}")
    return contrast, Path(path)
