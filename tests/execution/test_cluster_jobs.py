"""No job of an interrupted run stays on the cluster."""

import logging
from pathlib import Path
from typing import Any

import pytest

from haca3_bids.execution.graph import _run
from haca3_bids.execution.plugin import cancel_jobs, cluster_plugin


class Interrupted:
    """A workflow that is interrupted after it has submitted two jobs."""

    def run(self, plugin: Any, plugin_args: dict[str, Any]) -> None:
        plugin._pending.update({71: "/x", 72: "/y"})
        raise KeyboardInterrupt


def scheduler(folder: Path, monkeypatch: pytest.MonkeyPatch, command: str, ends: str = "") -> Path:
    """A command that writes its arguments to the file that is returned."""
    written = folder / "arguments"
    (folder / command).write_text(f'#!/bin/sh\necho "$@" > "{written}"\n{ends}\n')
    (folder / command).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return written


@pytest.mark.parametrize(("name", "command"), [("SLURM", "scancel"), ("PBS", "qdel"), ("LSF", "bkill")])
def test_an_interrupted_run_cancels_its_jobs(
    name: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = scheduler(tmp_path, monkeypatch, command)
    with pytest.raises(KeyboardInterrupt):
        _run(Interrupted(), cluster_plugin(name, {}), {})
    assert written.read_text().split() == ["71", "72"]


def test_jobs_that_cannot_be_cancelled_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler(tmp_path, monkeypatch, "scancel", "exit 1")
    plugin = cluster_plugin("SLURM", {})
    plugin._pending[71] = "/x"
    with caplog.at_level(logging.WARNING, "haca3_bids"):
        cancel_jobs(plugin)
    assert "Not all of the jobs 71 could be cancelled" in caplog.text


def test_without_jobs_no_command_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    cancel_jobs(cluster_plugin("SLURM", {}))
    cancel_jobs(cluster_plugin("Linear", {}))
