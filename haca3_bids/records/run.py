"""The record of a run of the App, ``run.json`` in its logs."""

import platform
import time
from dataclasses import dataclass, field

from haca3_bids import __version__


@dataclass(frozen=True)
class SessionOutcome:
    """The outcome of one session."""

    name: str
    status: str
    step: str  # in which it failed
    error: str  # why it failed or was skipped


@dataclass(frozen=True)
class RunRecord:
    """What was run, and how it ended; the last four are empty until then."""

    command: tuple[str, ...]
    version: str = __version__
    python: str = field(default_factory=platform.python_version)
    machine: str = field(default_factory=platform.platform)
    started: str = field(default_factory=lambda: time.strftime("%FT%T%z"))
    seconds: float | None = None
    exit_code: int | None = None
    error: str = ""  # why the whole run ended early
    sessions: tuple[SessionOutcome, ...] = ()
