"""Runs of the App as processes: started, watched, killed, and their outputs compared."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

FULL = os.environ.get("STRESS") == "full"  # make test-stress
APP = Path(__file__).with_name("stressed_app.py")
ENGINES = "fake_engine.py", "haca3_bids.harmonization"  # how a word of their command lines ends
TIMES = ("seconds", "memory_mb", "peak_memory_bytes", "stamps")  # of a record: what differs from run to run
PATIENCE_S = 60.0  # after a kill; no run of these tests takes longer


@dataclass
class Run:
    """One run in a folder of its own; its input may be shared with others."""

    folder: Path
    bids: Path
    kind: str = "quick"
    words: Sequence[str] = ("--skip-bids-validation", "--nprocs", "2")
    variables: Mapping[str, str] = field(default_factory=dict)
    wrapper: Sequence[str] = ()
    level: str = "participant"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def command(self, *more: str) -> list[str]:
        words = [str(self.bids), str(self.out), self.level, "--work-dir", str(self.folder / "work")]
        return [*self.wrapper, sys.executable, str(APP), self.kind, *words, *self.words, *more]

    @contextmanager
    def started(self, *more: str, **variables: str) -> Iterator[psutil.Popen]:
        """The process of the run; whatever is left of it at the end is killed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "tmp").mkdir(exist_ok=True)
        environment = {**os.environ, "TMPDIR": str(self.folder / "tmp"), **self.variables, **variables}
        environment.pop("PYTEST_CURRENT_TEST", None)
        with (self.folder / "said.txt").open("w") as said:
            process = psutil.Popen(self.command(*more), env=environment, stdout=said, stderr=subprocess.STDOUT)
            try:
                yield process
            finally:
                for one in family(process):
                    with suppress(psutil.Error):
                        one.kill()
                process.wait()

    def finish(self, *more: str, **variables: str) -> int:
        """The exit code of a run that nobody disturbs."""
        with self.started(*more, **variables) as process:
            return int(process.wait(timeout=10 * PATIENCE_S))

    @property
    def said(self) -> str:
        return (self.folder / "said.txt").read_text(errors="replace")

    def records(self) -> dict[str, dict[str, Any]]:
        paths = self.out.rglob("*_qc.json")
        return {path.name.partition("_desc")[0]: json.loads(path.read_text()) for path in paths}


def family(process: psutil.Process) -> list[psutil.Process]:
    """A process and all that it started, directly or not."""
    with suppress(psutil.Error):
        return [process, *process.children(recursive=True)]
    return []


def workers(process: psutil.Process) -> list[psutil.Process]:
    """Workers of the pool: forks of the process, which have its command line."""
    return [one for one in _children(process) if _words(one) == _words(process)]


def networks(process: psutil.Process) -> list[psutil.Process]:
    """Processes of the networks."""
    return [one for one in _children(process) if any(word.endswith(ENGINES) for word in _words(one))]


def _children(process: psutil.Process) -> list[psutil.Process]:
    return family(process)[1:]


def _words(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return list(process.cmdline())
    return []


def wait_for(find: Callable[[psutil.Process], list[psutil.Process]], process: psutil.Process) -> list[psutil.Process]:
    """What is found as soon as there is any; nothing when the process ends before.

    It must be found twice: between fork and exec, any child has the command line of its parent, as workers have.
    """
    before: list[psutil.Process] = []
    while process.poll() is None:
        found = find(process)
        if lasting := [one for one in found if one in before]:
            return lasting
        before = found
        time.sleep(0.05)
    return []


def alive(processes: Sequence[psutil.Process], patience_s: float = 5.0) -> list[psutil.Process]:
    """Those that are still there after a moment."""
    _, left = psutil.wait_procs(list(processes), timeout=patience_s)
    return [one for one in left if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def fingerprints(out: Path) -> dict[str, str]:
    """SHA-256 of every output.

    Records are compared without times, memory and stamps of files. Logs and pages, which show these, are only listed.
    """
    return {str(path.relative_to(out)): _fingerprint(path) for path in sorted(out.rglob("*")) if _is_output(path, out)}


def _is_output(path: Path, out: Path) -> bool:
    return path.is_file() and path.relative_to(out).parts[0] != "logs"


def _fingerprint(path: Path) -> str:
    if path.suffix == ".html":
        return "page"
    content = path.read_bytes()
    if path.name.endswith("_qc.json"):
        content = json.dumps(_without_times(json.loads(content)), sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()


def _without_times(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_times(value) for key, value in content.items() if key not in TIMES}
    return [_without_times(one) for one in content] if isinstance(content, list) else content
