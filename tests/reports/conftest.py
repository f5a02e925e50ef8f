"""Small volumes whose voxels tell where they are, and the record of a session."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mixture_records import as_mixture

from haca3_bids.volumes.volume import Volume


@pytest.fixture
def head() -> Volume:
    """An ellipsoid of 1000 about MNI (0, -18, 6), 4 mm voxels, stored LPS."""
    affine = np.diag([-4.0, -4.0, 4.0, 1.0])
    affine[:3, 3] = (94, 84, -72)
    x, y, z = np.meshgrid(94 - 4 * np.arange(48), 84 - 4 * np.arange(52), -72 + 4 * np.arange(45), indexing="ij")
    inside = (x / 70) ** 2 + ((y + 18) / 88) ** 2 + ((z - 6) / 66) ** 2 < 1
    return Volume(np.where(inside, 1000 + x, 0).astype(np.float32), affine)


@pytest.fixture
def dataset(tmp_path: Path) -> Callable[..., Path]:
    """Write records into a derivatives dataset and return its folder; ``mixture`` makes one the mixture model's."""

    def write(*sessions: dict[str, Any]) -> Path:
        for changes in sessions:
            record = RECORD | changes
            if record.pop("mixture", False):
                record = as_mixture(record)
            session = record["session"]
            stem = f"sub-01_ses-{session}" if session else "sub-01"
            folder = tmp_path / "sub-01" / (f"ses-{session}" if session else "") / "anat"
            folder.mkdir(parents=True)
            (folder / f"{stem}_desc-haca3_qc.json").write_text(json.dumps(record))
        return tmp_path

    return write


SOURCES = {
    "T1w": {"theta": [1.25, -2.5], "eta": [0.3, 0.5], "attention": 0.21},
    "T2w": {"theta": [-2.0, 0.5], "eta": [0.4, 0.6], "attention": 0.79},
}
TARGET = {"name": "", "contrast": "T2w", "theta": [-2.1, 0.4], "eta": [0.3, 0.5], "scale": 1000.0, "origin": "x"}
RECORD: dict[str, Any] = {
    "subject": "01",
    "session": "siteA",
    "version": "0.1.0",
    "command": "haca3-bids in out participant --target 'a<b'",
    "status": "done",
    "error": None,
    "images": [
        {"contrast": "T1w", "path": "sub-01/anat/sub-01_T1w.nii.gz", "reason": "the only one"},
        {"contrast": "T2w", "path": "sub-01/anat/sub-01_T2w.nii.gz", "reason": "finest of two runs"},
    ],
    "left_out": [{"path": "sub-01/anat/sub-01_ce-gad_T1w.nii.gz", "reason": "contrast agent <gadolinium>"}],
    "preprocessing": {
        "reference": "T1w",
        "contrasts": {
            "T1w": {"white_matter_peak_raw": 431.9, "white_matter_peak": 1000.0, "coverage": 0.97},
            "T2w": {"white_matter_peak_raw": 215.2, "white_matter_peak": 999.6, "coverage": 0.62},
        },
        "registration": {
            "similarity": 0.71,
            "passed": True,
            "limit": 0.4,
            "rotation_deg": 7.3,
            "translation_mm": 12.1,
        },
        "template": "MNI152NLin2009cSym",
    },
    "harmonization": {
        "images": [
            {
                "target": TARGET,
                "file": "sub-01/ses-siteA/anat/x.nii.gz",
                "white_matter_peak": 1001.0,
                "cut_share": 0.013,
                "sources": SOURCES,
            }
        ],
        "weights": {"name": "builtin", "sha256": "ab" * 32, "variant": "haca3"},
        "fusion": {"name": "builtin", "sha256": "cd" * 32},
        "device": "cpu",
        "precision": "bf16",
        "seed": 0,
        "peak_memory_bytes": 1_700_000_000,
    },
    "quality": {"verdict": "pass"},
    "figures": [],
    "seconds": {"bias field": 31.2, "harmonization": 140.0},
    "notes": [],
    "methods": ["Images were harmonized with HACA3 [@haca3]."],
}
