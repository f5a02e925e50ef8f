"""``--longitudinal``: which sessions share a frame, and when they are done again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fake_parts import head, make_dataset

from haca3_bids.errors import BadInput
from haca3_bids.preprocessing.longitudinal import Frame
from haca3_bids.preprocessing.registration import TemplateAlignment
from haca3_bids.volumes.volume import Volume, save_volume

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


def visits_that_cannot_be_read(visits: Path, *labels: str) -> None:
    for label in labels:
        scan = visits / f"sub-01/ses-{label}/anat/sub-01_ses-{label}_T1w.nii.gz"
        save_volume(head().with_data(head().data * 0 + 3), scan)


def test_a_visit_that_cannot_be_read_fails_alone_and_the_frame_is_that_of_the_others(
    app: App, visits: Path, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    from haca3_bids.interfaces import longitudinal as interfaces
    from haca3_bids.workflows import longitudinal

    def frame(references: Mapping[str, Volume], *_: object) -> Frame:
        return Frame({visit: np.eye(4) for visit in references}, head(), TemplateAlignment(np.eye(4), np.eye(4)))

    monkeypatch.setattr("haca3_bids.workflows.participant.init_frame_wf", longitudinal.init_frame_wf)
    monkeypatch.setattr("haca3_bids.interfaces.preprocess.session.for_registration", lambda image, _: image)
    monkeypatch.setattr(interfaces, "common_frame", frame)
    monkeypatch.setattr(interfaces, "load_template", lambda _: SimpleNamespace(head=head()))
    visits_that_cannot_be_read(visits, "2")
    assert app("--longitudinal", "--keep-work", bids=visits) == 1
    assert record("sub-01_ses-2")["error"]["sentence"].startswith("sub-01_ses-2_T1w.nii.gz is constant")
    assert record("sub-01_ses-1")["status"] == "done"
    assert list(json.loads(Path(record("sub-01_ses-1")["preprocessing"]["frame"]).read_text())) == ["sub-01_ses-1"]


def test_each_visit_is_named_if_none_can_be_read(
    app: App, visits: Path, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    from haca3_bids.workflows import longitudinal

    monkeypatch.setattr("haca3_bids.workflows.participant.init_frame_wf", longitudinal.init_frame_wf)
    monkeypatch.setattr("haca3_bids.interfaces.longitudinal.load_template", lambda _: None)
    visits_that_cannot_be_read(visits, "1", "2")
    assert app("--longitudinal", bids=visits) == 1
    for name in ("sub-01_ses-1", "sub-01_ses-2"):
        assert record(name)["error"]["sentence"] == "The scans of all visits cannot be read."
