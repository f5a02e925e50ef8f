"""``--longitudinal``: which sessions share a frame, and when they are done again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_parts import head, make_dataset

from haca3_bids.errors import BadInput
from haca3_bids.volumes.volume import save_volume

App = Callable[..., int]
Record = Callable[[str], dict[str, Any]]
VISITS = {"sub-01_ses-1": ("T1w",), "sub-01_ses-2": ("T1w", "T2w"), "sub-02_ses-1": ("T1w",)}


@pytest.fixture
def visits(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "visits", VISITS)


def test_all_sessions_of_a_subject_share_one_frame_when_asked_for(app: App, visits: Path, record: Record) -> None:
    assert app("--longitudinal", bids=visits) == 0
    for name, frame in (("sub-01_ses-1", "sub-01_ses-1 sub-01_ses-2"), ("sub-02_ses-1", "")):
        assert record(name)["preprocessing"]["frame"] == frame
    assert record("sub-01_ses-2")["preprocessing"]["frame"] == "sub-01_ses-1 sub-01_ses-2"
    assert record("sub-01_ses-1")["harmonization"]["job"]["content"].endswith("sub-01_ses-1_T1w.nii.gz")
    assert "frame midway between them" in " ".join(record("sub-01_ses-1")["methods"])


def test_without_the_option_every_session_stands_alone(app: App, visits: Path, record: Record) -> None:
    assert app(bids=visits) == 0
    assert record("sub-01_ses-1")["preprocessing"]["frame"] == ""
    assert "frame midway between them" not in " ".join(record("sub-01_ses-1")["methods"])


def test_one_visit_more_and_all_of_them_are_done_again(
    app: App, visits: Path, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app("--longitudinal", "--session-label", "1", "9", bids=visits) == 0
    told = capsys.readouterr()
    assert "no effect on subjects with a single session: sub-01_ses-1, sub-02_ses-1." in told.out + told.err
    assert "No subject has a session with the label 9." in told.out + told.err
    before = record("sub-01_ses-1")["completion"]["fingerprint"]
    assert app("--longitudinal", bids=visits) == 0
    assert record("sub-01_ses-1")["completion"]["fingerprint"] != before
    assert record("sub-01_ses-1")["preprocessing"]["frame"] == "sub-01_ses-1 sub-01_ses-2"


def test_a_frame_that_cannot_be_found_is_told_for_every_session_of_its_subject(
    app: App, visits: Path, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    from haca3_bids.interfaces import longitudinal as interfaces
    from haca3_bids.workflows import longitudinal

    def fail(*_: object) -> None:
        raise BadInput("These heads have no middle.")

    monkeypatch.setattr("haca3_bids.workflows.participant.init_frame_wf", longitudinal.init_frame_wf)
    monkeypatch.setattr("haca3_bids.interfaces.preprocess.session.for_registration", lambda image, _: image)
    monkeypatch.setattr(interfaces, "common_frame", fail)
    monkeypatch.setattr(interfaces, "load_template", lambda _: None)
    assert app("--longitudinal", bids=visits) == 1
    for name in ("sub-01_ses-1", "sub-01_ses-2"):
        assert record(name)["error"]["sentence"] == "These heads have no middle."
        assert record(name)["error"]["step"] == "computing the common frame of all sessions"
    assert record("sub-02_ses-1")["status"] == "done"


def test_a_scan_that_cannot_be_read_is_named_for_every_visit_of_its_subject(
    app: App, visits: Path, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    from haca3_bids.workflows import longitudinal

    monkeypatch.setattr("haca3_bids.workflows.participant.init_frame_wf", longitudinal.init_frame_wf)
    monkeypatch.setattr("haca3_bids.interfaces.preprocess.session.for_registration", lambda image, _: image)
    scan = visits / "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz"
    save_volume(head().with_data(head().data * 0 + 3), scan)
    assert app("--longitudinal", bids=visits) == 1
    error = record("sub-01_ses-1")["error"]
    assert error["sentence"].startswith("sub-01_ses-2_T1w.nii.gz is constant")
    assert error["step"] == "reading the scans of all visits"
    assert record("sub-02_ses-1")["status"] == "done"
