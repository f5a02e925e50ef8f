"""Evaluate images, label maps and tables: similarity, overlap, travelling subjects, reliability, annual change."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from haca3_bids.errors import BadInput
from haca3_bids.settings import CONTRASTS

Row = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One command per measure; each prints a tab-separated table."""
    parts = parser.add_subparsers(required=True, metavar="MEASURE", dest="measure")

    one = parts.add_parser("similarity", help="PSNR and SSIM of images and a reference on the same grid")
    one.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="image to evaluate")
    one.add_argument("--truth", type=Path, required=True, metavar="IMAGE", help="reference image")
    one.add_argument("--mask", type=Path, help="voxels to compare (default: head of the reference, by Otsu's method)")

    one = parts.add_parser("overlap", help="Dice coefficient of each label in two label maps")
    one.add_argument("maps", nargs=2, type=Path, metavar="LABEL_MAP", help="label map; both on the same grid")

    one = parts.add_parser("travelling", help="similarity between sessions of a subject, before and after")
    one.add_argument("dataset", type=Path, help="output folder of haca3-bids")
    one.add_argument("--contrast", choices=CONTRASTS, default="T1w", help="contrast to compare (default: T1w)")
    one.add_argument("--before", default="preproc", metavar="DESC", help="desc of images before (default: preproc)")
    one.add_argument("--after", default="haca3", metavar="DESC", help="desc of images after (default: haca3)")

    one = parts.add_parser("reliability", help="intraclass correlation coefficients of a measurement")
    _add_table(one)
    one.add_argument("--site", default="site", metavar="COLUMN", help="column with the site (default: site)")

    one = parts.add_parser("longitudinal", help="annual change of a measurement in each subject")
    _add_table(one)
    one.add_argument("--time", default="years", metavar="COLUMN", help="column with the time in years (default: years)")


def _add_table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("table", type=Path, help="tab-separated table with one row per session")
    parser.add_argument("--value", required=True, metavar="COLUMN", help="column with the measurement")
    parser.add_argument("--person", default="participant_id", metavar="COLUMN", help="default: participant_id")


def main(args: argparse.Namespace) -> int:
    """Print the table of the measure; 0 when done."""
    rows = MEASURES[args.measure](args)
    names = list(rows[0])
    writer = csv.writer(sys.stdout, delimiter="\t", lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_shown(row[name]) for name in names] for row in rows)
    return 0


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _similarity(args: argparse.Namespace) -> list[Row]:
    from haca3_bids.evaluation.similarity import SSIM_SETTINGS, compared
    from haca3_bids.intensity.background import head_mask
    from haca3_bids.volumes.volume import load_volume

    truth = load_volume(args.truth)
    mask = load_volume(args.mask, may_be_constant=True).data > 0.5 if args.mask else head_mask(truth.data)
    print(f"SSIM: {SSIM_SETTINGS}", file=sys.stderr)
    rows = []
    for path in args.images:
        image = load_volume(path)
        if not image.has_grid_of(truth) or mask.shape != truth.shape:
            raise BadInput(f"{path.name} does not share the grid of {args.truth.name}.", "Resample one to the other.")
        with _bad_input():
            found = compared(image.data, truth.data, mask)
        rows.append({"image": path.name, "psnr_db": found.psnr_db, "ssim": found.ssim})
    return rows


def _overlap(args: argparse.Namespace) -> list[Row]:
    import numpy as np

    from haca3_bids.evaluation.overlap import dice_by_label
    from haca3_bids.volumes.volume import load_volume

    one, other = (load_volume(path, may_be_constant=True) for path in args.maps)
    if not one.has_grid_of(other):
        raise BadInput(
            f"{args.maps[0].name} and {args.maps[1].name} do not share a grid.", "Resample one to the other."
        )
    labels = [np.rint(volume.data).astype(np.int64) for volume in (one, other)]
    found = dice_by_label(*labels)
    if not found:
        raise BadInput("Neither map has a label.", "Labels are whole numbers other than 0.")
    return [{"label": label, "dice": value} for label, value in found.items()]


def _travelling(args: argparse.Namespace) -> list[Row]:
    from haca3_bids.evaluation.travelling import Result, between_sessions, by_person, gain
    from haca3_bids.intensity.background import head_mask
    from haca3_bids.volumes.volume import load_volume

    sessions = _sessions(args)
    results = []
    for person, pairs in sessions.items():
        for desc in (args.before, args.after):
            images = [load_volume(pair[desc]) for pair in pairs]
            if not all(image.has_grid_of(images[0]) for image in images):
                raise BadInput(f"The sessions of {person} do not share a grid.", "Compare images in template space.")
            data = [image.data for image in images]
            with _bad_input():
                found = between_sessions(data, [head_mask(one) for one in data])
            results += [Result(person, args.contrast, desc, one) for one in found]
    rows: list[Row] = []
    for desc in (args.before, args.after):
        for person, mean in by_person(results, args.contrast, desc).items():
            rows.append({"participant_id": person, "images": desc, "psnr_db": mean.psnr_db, "ssim": mean.ssim})
    better = gain(results, args.contrast, args.after, args.before)
    rows.append({"participant_id": "mean gain", "images": "", "psnr_db": better.psnr_db, "ssim": better.ssim})
    rows.append({"participant_id": "p (Wilcoxon)", "images": "", "psnr_db": better.p_psnr, "ssim": better.p_ssim})
    return rows


def _sessions(args: argparse.Namespace) -> dict[str, list[dict[str, Path]]]:
    """For each subject with two or more sessions: the images before and after harmonization of each session."""
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


def _reliability(args: argparse.Namespace) -> list[Row]:
    import numpy as np

    from haca3_bids.evaluation.reliability import reliability

    table = {person: _once(pairs, person, args) for person, pairs in _column(args, args.site).items()}
    sites = sorted({site for values in table.values() for site in values})
    whole = {person: values for person, values in table.items() if set(values) == set(sites)}
    if len(whole) < len(table):
        print(f"{len(table) - len(whole)} people lack a site and are left out.", file=sys.stderr)
    values = np.array([[whole[person][site] for site in sites] for person in whole]).reshape(len(whole), len(sites))
    with _bad_input():
        found = reliability(values)
    names = ("agreement", "consistency", "between_people", "between_sites", "residual")
    return [{"people": len(whole), "sites": len(sites)} | {name: getattr(found, name) for name in names}]


def _longitudinal(args: argparse.Namespace) -> list[Row]:
    from haca3_bids.evaluation.longitudinal import change

    rows = []
    for person, pairs in _column(args, args.time).items():
        times = [_number(time, args.time) for time, _ in pairs]
        with _bad_input():
            found = change(times, [value for _, value in pairs])
        rows.append(
            {
                "participant_id": person,
                "visits": len(times),
                "per_year": found.per_year,
                "at_start": found.at_start,
                "percent_per_year": 100 * found.per_year / found.at_start if found.at_start else float("nan"),
                "residual": found.residual,
            }
        )
    return rows


def _once(pairs: list[tuple[str, float]], person: str, args: argparse.Namespace) -> dict[str, float]:
    """Site -> value; BadInput where a person has two values of one site."""
    twice = [site for number, (site, _) in enumerate(pairs) if site in [earlier for earlier, _ in pairs[:number]]]
    if twice:
        sentence = f"{args.table.name} has two lines for {person} and {args.site} {twice[0]}."
        raise BadInput(sentence, "Leave one session of each person and site.")
    return dict(pairs)


def _column(args: argparse.Namespace, by: str) -> dict[str, list[tuple[str, float]]]:
    """Person -> (column ``by``, value) of each line; BadInput if a column is missing."""
    try:
        with args.table.open(newline="") as file:
            lines = list(csv.DictReader(file, delimiter="\t"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"{args.table.name} cannot be read.", "A text file with tabs between columns is needed."
        ) from error
    missing = [name for name in (args.person, by, args.value) if not lines or name not in lines[0]]
    if missing:
        raise BadInput(
            f"{args.table.name} has no column {' or '.join(missing)}.",
            f"It has {', '.join(lines[0]) if lines else 'none'}; choose with --person, --value, --{_option(args)}.",
        )
    found: dict[str, list[tuple[str, float]]] = {}
    for line in lines:
        found.setdefault(line[args.person], []).append((line[by], _number(line[args.value], args.value)))
    return found


def _option(args: argparse.Namespace) -> str:
    return "site" if args.measure == "reliability" else "time"


def _number(text: str, name: str) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        raise BadInput(f"'{text}' in column {name} is no number.", "Leave such lines out.") from None


@contextmanager
def _bad_input() -> Iterator[None]:
    """Raise BadInput with the sentence of a ValueError of a measure."""
    try:
        yield
    except ValueError as error:
        sentence = str(error)
        raise BadInput(f"{sentence[:1].upper()}{sentence[1:]}.") from error


MEASURES: dict[str, Callable[[argparse.Namespace], list[Row]]] = {
    "similarity": _similarity,
    "overlap": _overlap,
    "travelling": _travelling,
    "reliability": _reliability,
    "longitudinal": _longitudinal,
}
