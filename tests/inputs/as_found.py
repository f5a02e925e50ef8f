"""A dataset with one healthy subject, to which a recipe adds another, and what the App finds in it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from haca3_bids.execution.run import check_input
from haca3_bids.execution.select import Selection, table
from haca3_bids.settings import SelectionSettings, Settings
from haca3_bids.volumes.volume import Volume, save_volume

HEALTHY = "sub-02"
SCAN = "sub-01/anat/sub-01_T1w.nii.gz"


def write_scan(path: Path, zoom: float = 20.0) -> Path:
    """A small image that covers a head."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.random.default_rng(0).random((10, 10, 10)).astype(np.float32)
    save_volume(Volume(data, np.diag([zoom, zoom, zoom, 1.0])), path)
    return path


def healthy_dataset(root: Path) -> Path:
    """One subject whose T1w nobody can complain of."""
    root.mkdir()
    (root / "dataset_description.json").write_text(json.dumps({"Name": "heads", "BIDSVersion": "1.9.0"}))
    (root / "README").write_text("Heads that were never scanned, for the tests of what is found in real datasets.\n")
    write_scan(root / HEALTHY / f"anat/{HEALTHY}_T1w.nii.gz")
    return root


def found(root: Path, *, validate: bool = False, selection: SelectionSettings | None = None) -> tuple[Selection, str]:
    """What the App will work on and how the rest ended, with the table that says so; the healthy subject is in it."""
    chosen = selection or SelectionSettings(skip_validation=not validate)
    settings = Settings(root, root.parent / "out", selection=chosen)
    selected = check_input(settings)
    assert HEALTHY in [session.name for session in selected.sessions]
    return selected, table(selected, settings)


def images(selected: Selection) -> dict[str, str]:
    """The images that were chosen, by session and contrast, without those of the healthy subject."""
    return {
        f"{session.name} {contrast}": image.path.name
        for session in selected.sessions
        for contrast, image in session.images.items()
        if session.name != HEALTHY
    }


def errors(selected: Selection) -> dict[str, tuple[int, str]]:
    """Exit code and words of what failed, by name."""
    return {one.name: (one.error.exit_code, str(one.error)) for one in selected.outcomes if one.error}
