"""Harmonize images of one person that already share a grid: upright, about 1 mm, registered to each other."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from haca3_bids.errors import CannotCreate, UsageError
from haca3_bids.settings import BETAS, CONTRASTS, HarmonizationSettings

if TYPE_CHECKING:
    from haca3_bids.checkpoints.formats import Checkpoint
    from haca3_bids.harmonization.engine import Harmonized
    from haca3_bids.harmonization.target import Target
    from haca3_bids.networks.fusion import FusionNet

DEFAULTS = HarmonizationSettings()
IMAGE_SUFFIXES = (".nii.gz", ".nii")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Sources, one target, one output, and how the networks are applied."""
    parser.add_argument("--source", action="append", required=True, type=_pair, metavar="CONTRAST=FILE")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--target-image", type=Path, metavar="FILE", help="an image that has the wanted contrast")
    target.add_argument("--target", choices=CONTRASTS, help="a built-in reference of the weights")
    target.add_argument("--theta", type=float, nargs=2, metavar=("A", "B"))
    parser.add_argument("--eta", type=float, nargs=2, metavar=("C", "D"), help="with --theta; default 0.3 0.5")
    parser.add_argument("--contrast", help="name of the target's contrast, for the sidecar; default: the file name's")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help=".nii or .nii.gz; a .json beside it")
    parser.add_argument("--coverage", action="append", default=[], type=_pair, metavar="CONTRAST=MASK")
    parser.add_argument("--white-matter", type=Path, metavar="MASK", help="its peak becomes 1000 in the output")
    parser.add_argument("--head-mask", type=Path, metavar="MASK", help="nothing outside is written")
    parser.add_argument("--weights", default=DEFAULTS.weights, metavar="NAME|FILE")
    parser.add_argument("--fusion-weights", default=DEFAULTS.fusion_weights, metavar="NAME|FILE|median")
    parser.add_argument("--variant", choices=("haca3", "haca3plus"))
    parser.add_argument("--background", choices=("otsu", "none"), default=DEFAULTS.background)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default=DEFAULTS.precision)
    parser.add_argument("--device", default=DEFAULTS.device, help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--batch-size", type=_positive, default=DEFAULTS.batch_size, help="slices at once")
    parser.add_argument("--beta", choices=BETAS, default=DEFAULTS.beta)
    parser.add_argument("--samples", type=_positive, default=DEFAULTS.samples, help="images drawn with --beta sample")
    parser.add_argument("--seed", type=int, default=DEFAULTS.seed, help="of --beta sample")
    parser.add_argument("--threads", type=int, default=DEFAULTS.threads, help="0: as PyTorch chooses")
    parser.add_argument("--like-authors", action="store_true", help="the released program's arithmetic")
    parser.add_argument("--verbose", action="store_true")


def main(options: argparse.Namespace) -> int:
    """Harmonize, and write the image with its sidecar."""
    logging.basicConfig(level=logging.INFO if options.verbose else logging.WARNING, format="%(message)s")
    _check(options)
    from haca3_bids.harmonization import job
    from haca3_bids.harmonization.device import choose_device

    start = time.monotonic()
    settings = _settings(options)
    choose_device(settings.device)
    networks = job.load_networks(settings)
    target = _target(options, networks.checkpoint, settings)
    image = _harmonized(options, target, networks.checkpoint, networks.fusion, settings)
    facts = dataclasses.asdict(job.facts(image, networks, settings, start)) | dataclasses.asdict(job.described(image))
    said = {key: value for key, value in facts.items() if value not in (None, "", (), {})}
    _write(image, said | {"source_files": {contrast: path.name for contrast, path in options.source}}, options.out)
    return 0


def _check(options: argparse.Namespace) -> None:
    """What cannot be is refused before anything is computed."""
    for pairs, option in ((options.source, "--source"), (options.coverage, "--coverage")):
        if len(dict(pairs)) < len(pairs):
            raise UsageError(f"{option} names one contrast twice.", "A session has one image of a contrast.")
    if options.eta and not options.theta:
        raise UsageError("--eta goes with --theta.", "An image and a built-in reference have an eta of their own.")
    out: Path = options.out
    if not out.name.endswith(IMAGE_SUFFIXES):
        raise UsageError(f"--out {out.name} is no name of a NIfTI file.", "Let it end in .nii or .nii.gz.")
    if not out.parent.is_dir():
        raise CannotCreate(f"The folder {out.parent} of --out does not exist.", "Make it first.")
    if any(out.exists() and path.exists() and out.samefile(path) for _, path in options.source):
        raise UsageError(f"--out {out.name} is one of the sources.", "Choose another name.")


def _harmonized(
    options: argparse.Namespace,
    target: Target,
    checkpoint: Checkpoint,
    fusion: FusionNet | None,
    settings: HarmonizationSettings,
) -> Harmonized:
    from haca3_bids.harmonization.engine import harmonize
    from haca3_bids.harmonization.job import load_mask
    from haca3_bids.volumes.volume import load_volume

    (image,) = harmonize(
        {contrast: load_volume(path) for contrast, path in options.source},
        [target],
        checkpoint,
        fusion,
        settings,
        coverage={contrast: load_volume(path, may_be_constant=True) for contrast, path in options.coverage},
        white_matter=load_mask(options.white_matter),
        head_mask=load_mask(options.head_mask),
    )
    return image


def _write(image: Harmonized, sidecar: Mapping[str, object], out: Path) -> None:
    """The image, its sidecar and, where there is one, the map of deviations: each appears whole or not at all."""
    from haca3_bids.bids.atomic import write_json
    from haca3_bids.volumes.volume import save_volume

    suffix = next(suffix for suffix in IMAGE_SUFFIXES if out.name.endswith(suffix))
    stem = out.name.removesuffix(suffix)
    try:
        if image.std is not None:
            save_volume(image.std, out.with_name(f"{stem}_std{suffix}"))
        save_volume(image.image, out)
        write_json(out.with_name(f"{stem}.json"), sidecar)
    except OSError as error:
        raise CannotCreate(f"{out} cannot be written ({error.strerror}).", "Is the disk full?") from error


def _settings(options: argparse.Namespace) -> HarmonizationSettings:
    given: dict[str, Any] = vars(options)
    return HarmonizationSettings(**{one.name: given[one.name] for one in dataclasses.fields(HarmonizationSettings)})


def _target(options: argparse.Namespace, checkpoint: Checkpoint, settings: HarmonizationSettings) -> Target:
    from haca3_bids.harmonization.engine import encode_target
    from haca3_bids.harmonization.target import target_from_numbers, target_from_reference
    from haca3_bids.volumes.volume import load_volume

    if options.target:
        return target_from_reference(options.target, checkpoint)
    if options.theta:
        return target_from_numbers(options.contrast or "", tuple(options.theta), tuple(options.eta or ()) or None)
    path: Path = options.target_image
    named = re.search(rf"_({'|'.join(CONTRASTS)})\.", path.name)
    contrast = options.contrast or (named[1] if named else "")
    return encode_target(load_volume(path), contrast, checkpoint, settings, origin=f"the image {path.name}")


def _pair(text: str) -> tuple[str, Path]:
    contrast, equals, path = text.partition("=")
    if contrast not in CONTRASTS or not equals or not path:
        raise argparse.ArgumentTypeError(f"{text} is not CONTRAST=FILE; contrasts are {', '.join(CONTRASTS)}")
    return contrast, Path(path)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above zero")
    return number
