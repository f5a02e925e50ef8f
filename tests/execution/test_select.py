from __future__ import annotations

from pathlib import Path

import pytest
from fake_parts import make_dataset

from haca3_bids.execution.select import select_sessions
from haca3_bids.settings import SelectionSettings, Settings


def test_subjects_without_a_requested_session_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sessions = ("sub-01_ses-a", "sub-01_ses-b", "sub-02_ses-a", "sub-03_ses-b")
    raw = make_dataset(tmp_path / "raw", dict.fromkeys(sessions, ("T1w",)))
    found = select_sessions(Settings(raw, tmp_path / "out", selection=SelectionSettings(sessions=("b",))))
    assert [one.name for one in found.sessions] == ["sub-01_ses-b", "sub-03_ses-b"]
    assert caplog.messages == ["Left out, because they have no session b: sub-02."]
