"""``haca3 evaluate overlap``: two label maps on the same grid."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from haca3_bids.cli.evaluate.inputs import load
from haca3_bids.errors import BadInput
from haca3_bids.evaluation.overlap import dice_by_label
from haca3_bids.records.findings import Column, Drawing, Findings, Table

if TYPE_CHECKING:
    from haca3_bids.volumes.volume import Volume

HELP = "Dice coefficient of each label in two label maps"
COLUMNS = {
    "overlap": (
        Column("label", "Number of the label in both maps"),
        Column("dice", "Dice coefficient: twice the common volume over the sum of both volumes; 1 means identical"),
        Column("volume_ml", "Volume of the label in the first map", "mL"),
        Column("other_volume_ml", "Volume of the label in the second map", "mL"),
    )
}
MM3_PER_ML = 1000.0
WHOLE = 1e-3  # tolerance of whole numbers
MOST_LABELS = 2000  # atlases have a few hundred
HINT = "Give segmentations; images of intensities are compared by haca3 evaluate similarity."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the two maps as arguments."""
    parser.add_argument("maps", nargs=2, type=Path, metavar="LABEL_MAP", help="label map; both on the same grid")


def run(args: argparse.Namespace) -> Findings:
    """A table with one row per label."""
    names = [path.name for path in args.maps]
    one, other = (load(path, may_be_constant=True) for path in args.maps)
    if not one.has_grid_of(other):
        raise BadInput(f"{names[0]} and {names[1]} do not share a grid.", "Resample one to the other.")
    labels = [_labels(volume, name) for volume, name in zip((one, other), names, strict=True)]
    found = dice_by_label(*labels)
    if not found:
        raise BadInput("Neither map has a label.", "Labels are whole numbers other than 0.")
    voxel_ml = float(one.zooms_mm.prod()) / MM3_PER_ML
    first, second = ({label: float((own == label).sum() * voxel_ml) for label in found} for own in labels)
    rows = [
        {"label": label, "dice": value, "volume_ml": first[label], "other_volume_ml": second[label]}
        for label, value in found.items()
    ]
    summary = f"The labels of {names[0]} are compared with those of {names[1]}."
    drawings = [_drawing(dict(zip(names, (one, other), strict=True)))] if args.out else ()
    return Findings(summary, {"overlap": Table(COLUMNS["overlap"], rows)}, drawings)


def _labels(volume: Volume, name: str) -> NDArray[np.int64]:
    """The whole numbers of a label map; BadInput for an image of intensities or fractions."""
    labels = np.rint(volume.data).astype(np.int64)
    if not np.allclose(volume.data, labels, rtol=0, atol=WHOLE) or np.unique(labels).size > MOST_LABELS:
        raise BadInput(f"{name} is not a label map: it has fractions, or more than {MOST_LABELS} values.", HINT)
    return labels


def _drawing(maps: Mapping[str, Volume]) -> Drawing:
    from haca3_bids.reports.charts import slices, svg

    return Drawing("The label maps", svg(slices(maps)), caption="Axial slice in the middle.")
