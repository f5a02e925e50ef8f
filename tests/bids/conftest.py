from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from haca3_bids.volumes.volume import Volume, save_volume

Make = Callable[..., Path]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    root = tmp_path / "raw"
    root.mkdir()
    (root / "dataset_description.json").write_text(json.dumps({"Name": "heads", "BIDSVersion": "1.9.0"}))
    return root


@pytest.fixture
def scan(raw: Path) -> Make:
    """``scan("sub-01/anat/sub-01_T1w.nii.gz", zooms=(1, 1, 1), extent=160)``: write an image of that geometry."""

    def make(name: str, zooms: tuple[float, ...] = (20, 20, 20), extent: float = 200, **metadata: object) -> Path:
        path = raw / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = [max(2, round(extent / zoom)) for zoom in zooms]
        data = np.random.default_rng(0).random(shape).astype(np.float32)
        save_volume(Volume(data, np.diag([*zooms, 1.0])), path)
        if metadata:
            path.with_name(path.name.replace(".nii.gz", ".json")).write_text(json.dumps(metadata))
        return path

    return make
