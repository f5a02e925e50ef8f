from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from haca3_bids.errors import BadInput
from haca3_bids.execution import run
from haca3_bids.execution.interrupt import Terminated

App = Callable[..., int]


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (BadInput("A target could not be encoded.", "Exclude it."), 65, "A target could not be encoded. Exclude it."),
        (Terminated(), 143, "interrupted"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
    ids=["error", "SIGTERM", "SIGINT"],
)
def test_the_logs_say_why_a_run_ended_early(
    app: App, out: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, words: str
) -> None:
    def end(*_: Any) -> None:
        raise error

    monkeypatch.setattr(run, "process", end)
    assert app() == code
    (file,) = out.glob("logs/*/run.json")
    about = json.loads(file.read_text())
    assert (about["exit_code"], about["error"]) == (code, words)
    assert f"The run ended early: {words}" in file.with_name("log.txt").read_text()


def test_the_logs_have_the_traceback_of_an_unexpected_error(
    app: App, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "process", lambda *_: {}["nothing"])
    with pytest.raises(KeyError):
        app()
    (file,) = out.glob("logs/*/log.txt")
    assert "KeyError: 'nothing'" in file.read_text()
