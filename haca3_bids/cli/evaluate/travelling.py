"""``haca3 evaluate travelling``: the same people at several sites, before and after harmonization."""

from __future__ import annotations

import argparse
from pathlib import Path

from haca3_bids.cli.evaluate.inputs import bad_input
from haca3_bids.errors import BadInput
from haca3_bids.records.findings import Column, Findings, Table
from haca3_bids.settings import CONTRASTS

HELP = "similarity between sessions of a subject, before and after"
COLUMNS = {
    "travelling": (
        Column("participant_id", "Subject; or mean gain, or p of a Wilcoxon signed-rank test over subjects"),
        Column("images", "desc entity of the images"),
        Column("psnr_db", "Mean peak signal-to-noise ratio between the sessions of a subject; higher is better", "dB"),
        Column("ssim", "Mean structural similarity between the sessions of a subject; 1 means identical"),
    )
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The dataset and which images of it."""
    parser.add_argument("dataset", type=Path, help="output folder of haca3-bids")
    parser.add_argument("--contrast", choices=CONTRASTS, default="T1w", help="contrast to compare (default: T1w)")
    parser.add_argument("--before", default="preproc", metavar="DESC", help="desc of images before (default: preproc)")
    parser.add_argument("--after", default="haca3", metavar="DESC", help="desc of images after (default: haca3)")


def run(args: argparse.Namespace) -> Findings:
    """A row per person and method, then the mean gain and its p."""
    from haca3_bids.evaluation.travelling import Result, between_sessions, by_person, gain
    from haca3_bids.intensity.background import head_mask
    from haca3_bids.volumes.volume import load_volume

    results = []
    for person, pairs in _sessions(args).items():
        for desc in (args.before, args.after):
            images = [load_volume(pair[desc]) for pair in pairs]
            if not all(image.has_grid_of(images[0]) for image in images):
                raise BadInput(f"The sessions of {person} do not share a grid.", "Compare images in template space.")
            data = [image.data for image in images]
            with bad_input():
                found = between_sessions(data, [head_mask(one) for one in data])
            results += [Result(person, args.contrast, desc, one) for one in found]
    rows: list[dict[str, str | float]] = []
    for desc in (args.before, args.after):
        for person, mean in by_person(results, args.contrast, desc).items():
            rows.append({"participant_id": person, "images": desc, "psnr_db": mean.psnr_db, "ssim": mean.ssim})
    better = gain(results, args.contrast, args.after, args.before)
    rows.append({"participant_id": "mean gain", "images": "", "psnr_db": better.psnr_db, "ssim": better.ssim})
    rows.append({"participant_id": "p (Wilcoxon)", "images": "", "psnr_db": better.p_psnr, "ssim": better.p_ssim})
    return Findings(
        f"All pairs of sessions of each subject are compared: {args.contrast} images with desc-{args.before} and "
        f"desc-{args.after}.",
        {"travelling": Table(COLUMNS["travelling"], rows)},
    )


def _sessions(args: argparse.Namespace) -> dict[str, list[dict[str, Path]]]:
    """For everybody with two sessions or more: the image before and after harmonization of each session."""
    found: dict[str, list[dict[str, Path]]] = {}
    for after in sorted(args.dataset.glob(f"sub-*/**/*_desc-{args.after}_{args.contrast}.nii.gz")):
        before = after.with_name(after.name.replace(f"_desc-{args.after}_", f"_desc-{args.before}_"))
        if before.exists():
            found.setdefault(after.name.split("_")[0], []).append({args.before: before, args.after: after})
    travellers = {person: pairs for person, pairs in found.items() if len(pairs) > 1}
    if not travellers:
        raise BadInput(
            f"{args.dataset.name} has nobody with two sessions that have desc-{args.before} and desc-{args.after} "
            f"{args.contrast} images.",
            "Give the output folder of haca3-bids, and --contrast, --before and --after as the files are called.",
        )
    return travellers
