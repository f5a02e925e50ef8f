"""Small datasets of derivatives for the tests of ``haca3 evaluate``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from haca3_bids.volumes.volume import Volume, save_volume

SHAPE = (20, 22, 18)
AFFINE = np.diag([-1.0, -1, 1, 1])
SPACE = "space-MNI152NLin2009cSym_res-1"


def save(data: np.ndarray, path: Path, affine: np.ndarray = AFFINE) -> Path:
    """Write an image, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_volume(Volume(np.asarray(data, np.float32), affine), path)
    return path


def name(root: Path, person: object, session: str, rest: str) -> Path:
    """The file of a session in template space."""
    stem = f"sub-{person}_ses-{session}"
    return root / f"sub-{person}/ses-{session}/anat/{stem}_{SPACE}_{rest}.nii.gz"


def describe(root: Path) -> Path:
    """Make a folder a dataset of derivatives."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset_description.json").write_text(json.dumps({"DatasetType": "derivative"}))
    return root


def ball(radius: float) -> np.ndarray:
    """A mask around the centre."""
    away = [(x - (n - 1) / 2) / radius for x, n in zip(np.indices(SHAPE), SHAPE, strict=True)]
    return sum(along**2 for along in away) < 1


def write_table(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    """Write a tab-separated table."""
    lines = [list(rows[0]), *(row.values() for row in rows)]
    path.write_text("".join("\t".join(map(str, line)) + "\n" for line in lines))
    return path


def tables(printed: str) -> list[list[dict[str, str]]]:
    """What a command printed, table by table."""
    found = []
    for block in printed.strip().split("\n\n"):
        names, *rows = (line.split("\t") for line in block.splitlines())
        found.append([dict(zip(names, row, strict=True)) for row in rows])
    return found
