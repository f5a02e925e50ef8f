"""Scans with headers and intensities of any kind, and what the first step of the App says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from haca3_bids.execution.select import Selection, select_sessions
from haca3_bids.interfaces.read import Read
from haca3_bids.records.files import from_json
from haca3_bids.records.preprocessing import Preprocessing, ScanFacts
from haca3_bids.settings import PreprocessingSettings, Settings

Array = NDArray[Any]
SHAPE, VOXEL_MM = (44, 52, 48), 4.0
AFFINE = np.diag([VOXEL_MM, VOXEL_MM, VOXEL_MM, 1.0])
AFFINE[:3, 3] = (-88.0, -104.0, -96.0)
NAME = "sub-01_T1w.nii.gz"


GRID = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij"))
BALL, DARK = (GRID**2).sum(axis=0) < 0.7, (GRID**2).sum(axis=0) < 0.02


def head() -> Array:
    """A ball of 500 in air of 5, its right side brighter than its left, with dark fluid in its middle."""
    noise = 5 * np.abs(np.random.default_rng(0).normal(size=SHAPE))
    return np.asarray(np.where(BALL & ~DARK, 500 + 100 * GRID[0], 0) + noise, np.float32)


def turned(degrees: float) -> Array:
    out = AFFINE.copy()
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    out[:2, :2] = np.array([[cosine, -sine], [sine, cosine]]) * VOXEL_MM
    return out


def stretched(factor: float = 1.25) -> Array:
    return AFFINE @ np.diag([1.0, 1.0, factor, 1.0])


def sheared(degrees: float) -> Array:
    out = AFFINE.copy()
    out[0, 2] = VOXEL_MM * np.tan(np.radians(degrees))
    return out


MIRRORED = np.diag([-1.0, 1.0, 1.0, 1.0]) @ AFFINE


def write(path: Path, data: Array | None = None, **fields: Any) -> Path:
    """A file with codes 1 and 1; ``fields`` of its header are put there afterwards, whatever sense they make."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(head() if data is None else data, AFFINE)
    image.set_sform(AFFINE, 1)
    image.set_qform(AFFINE, 1)
    image.header.set_xyzt_units("mm")
    plain = path.with_name("plain.nii")
    nib.save(image, plain)
    content = bytearray(plain.read_bytes())
    plain.unlink()
    header = np.frombuffer(content, nib.nifti1.header_dtype, count=1)
    if (sform := fields.pop("sform", None)) is not None:
        fields |= {f"srow_{axis}": row for axis, row in zip("xyz", sform, strict=False)}
    for field, value in fields.items():
        header[field][0] = value
    with nib.openers.ImageOpener(str(path), "wb") as file:
        file.write(bytes(content))
    return path


def pixdim(*sizes: float) -> list[float]:
    return [1.0, *sizes, 0, 0, 0, 0]


def select(raw: Path, *force: str) -> Selection:
    return select_sessions(Settings(raw, raw.parent / "out", preprocessing=PreprocessingSettings(force=force)))


def chosen(raw: Path) -> Path:
    found = {session.name: session for session in select(raw).sessions}
    return found["sub-01"].images["T1w"].path


def read(path: Path, folder: Path, *force: str) -> ScanFacts:
    """What the first step of the App says of a scan."""
    folder.mkdir(exist_ok=True)
    done = Read(in_file=str(path), contrast="T1w", force=list(force)).run(cwd=str(folder))
    return from_json(done.outputs.facts, Preprocessing).contrasts["T1w"]
