from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_scans import write


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A dataset with a healthy subject, sub-02."""
    root = tmp_path / "raw"
    root.mkdir()
    (root / "dataset_description.json").write_text(json.dumps({"Name": "heads", "BIDSVersion": "1.9.0"}))
    write(root / "sub-02/anat/sub-02_T1w.nii.gz")
    return root


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the bias correction of the copy, which costs seconds and looks at no header."""
    monkeypatch.setattr("haca3_bids.preprocessing.session.correct_bias", lambda copy, _: copy)
