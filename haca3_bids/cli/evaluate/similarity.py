"""``haca3 evaluate similarity``: images against a reference image on the same grid."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from haca3_bids.arrays import Mask
from haca3_bids.cli.evaluate.inputs import bad_input, check_grid, load
from haca3_bids.records.findings import Column, Drawing, Findings, Table

if TYPE_CHECKING:
    from haca3_bids.volumes.volume import Volume

HELP = "PSNR and SSIM of images and a reference on the same grid"
COLUMNS = {
    "similarity": (
        Column("image", "File name of the image"),
        Column("psnr_db", "Peak signal-to-noise ratio against the reference within the mask; higher is better", "dB"),
        Column("ssim", "Mean structural similarity to the reference within the mask; 1 means identical"),
    )
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add options for the images, their reference and a mask."""
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="image to evaluate")
    parser.add_argument("--truth", type=Path, required=True, metavar="IMAGE", help="reference image")
    parser.add_argument(
        "--mask", type=Path, help="voxels to compare (default: head of the reference, by Otsu's method)"
    )


def run(args: argparse.Namespace) -> Findings:
    """A table with one row per image."""
    from haca3_bids.evaluation.similarity import SSIM_SETTINGS, compared
    from haca3_bids.intensity.background import head_mask

    truth = load(args.truth)
    mask = _mask(args.mask, truth, args.truth) if args.mask else head_mask(truth.data)
    rows, images = [], {}
    for path in args.images:
        image = images[path.name] = load(path)
        check_grid(image, path, truth, args.truth)
        with bad_input(path.name):
            found = compared(image.data, truth.data, mask)
        rows.append({"image": path.name, "psnr_db": found.psnr_db, "ssim": found.ssim})
    where = f"the mask {args.mask.name}" if args.mask else "the head of the reference"
    summary = (
        f"Each image is compared with {args.truth.name} within {where}, after both were divided by their 95th "
        "percentile there."
    )
    tables = {"similarity": Table(COLUMNS["similarity"], rows)}
    drawings = [_drawing({args.truth.name: truth} | images)] if args.out else ()
    return Findings(summary, tables, drawings, [f"SSIM: {SSIM_SETTINGS}."])


def _mask(path: Path, truth: Volume, truth_path: Path) -> Mask:
    mask = load(path, may_be_constant=True)
    check_grid(mask, path, truth, truth_path)
    return mask.data > 0.5


def _drawing(images: Mapping[str, Volume]) -> Drawing:
    from haca3_bids.reports.charts import slices, svg

    return Drawing("The reference and the images", svg(slices(images)), caption="Axial slice in the middle.")
