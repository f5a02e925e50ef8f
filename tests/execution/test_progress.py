"""Progress on a terminal is one moving line that survives being sent to a worker."""

import io
import logging
import pickle
from copy import deepcopy
from types import SimpleNamespace

import pytest
from tqdm import tqdm

from haca3_bids.execution.progress import Progress, progress_of, tell_failure


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def workflow():
    names = ["run.sub_01_ses_1_wf.preprocess_wf.register", "run.sub_01_ses_1_wf.harmonize_wf.harmonize", "run.x.merge"]
    return SimpleNamespace(list_node_names=lambda: names)


REGISTER = SimpleNamespace(name="register", fullname="run.sub_01_ses_1_wf.preprocess_wf.register")


def test_every_step_moves_the_bar_by_its_part_of_a_session(workflow, caplog, monkeypatch):
    monkeypatch.setattr("sys.stdout", Terminal())
    bar = tqdm(total=4, file=Terminal())
    progress = Progress(4, bar=bar)
    progress.done(1)
    progress.begin(workflow, 2)  # two sessions in two steps that have words
    with caplog.at_level(logging.INFO, "haca3_bids"):
        progress(REGISTER, "start")
        progress(REGISTER, "end")
    assert bar.n == pytest.approx(2)
    assert bar.postfix == "sub-01_ses-1: registering to the template"
    assert not caplog.messages
    assert pickle.loads(pickle.dumps(progress)).bar is None
    assert deepcopy(progress).bar is bar  # Nipype copies it
    bar.close()


def test_without_a_terminal_every_step_is_a_line(workflow, caplog, monkeypatch):
    monkeypatch.setattr("sys.stderr", io.StringIO())
    with progress_of(1) as progress, caplog.at_level(logging.INFO, "haca3_bids"):
        progress.begin(workflow, 1)
        progress(REGISTER, "start")
        progress(REGISTER, "end")
    assert caplog.messages == ["sub-01_ses-1: registering to the template"]


def test_on_a_terminal_messages_appear_above_the_line(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with progress_of(3) as progress:
        progress.done(1)
        progress.bar.refresh()
    assert "1.0 of 3 sessions" in terminal.getvalue()


def test_steps_are_lines_where_messages_do_not_go_to_the_terminal(workflow, caplog, monkeypatch):
    """The line moves on the terminal, and a redirected log has the steps as well."""
    monkeypatch.setattr("sys.stdout", io.StringIO())
    bar = tqdm(total=4, file=Terminal())
    progress = Progress(4, bar=bar)
    progress.begin(workflow, 2)
    with caplog.at_level(logging.INFO, "haca3_bids"):
        progress(REGISTER, "start")
    assert caplog.messages == ["sub-01_ses-1: registering to the template"]
    bar.close()


def test_the_failure_of_a_visit_is_told_in_words(caplog):
    visit = SimpleNamespace(name="visit1", fullname="haca3_wf.frame_sub_01_wf.visit1")
    tell_failure(visit, ["MemoryError"])
    assert caplog.messages == ["frame_sub-01: failed while reading the scans of all visits: Memory ran out."]
