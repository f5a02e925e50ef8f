"""The record of how a run ended, ``run.json`` in its logs, also if it ended early."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from haca3_bids.bids.atomic import make_folder, write_text
from haca3_bids.errors import Haca3Error
from haca3_bids.execution.interrupt import stop_children
from haca3_bids.execution.outcome import Outcome, exit_code
from haca3_bids.records.files import to_readable_json
from haca3_bids.records.run import RunRecord, SessionOutcome

LOGGER = logging.getLogger("haca3_bids")
RUN_FILE = "run.json"
INTERRUPTED = 130  # exit code, as in a shell: 128 and the number of SIGINT


def write_end(about: RunRecord, outcomes: Sequence[Outcome], logs: Path, seconds: float) -> None:
    """Add the outcomes of all sessions to the record of a run."""
    sessions = tuple(SessionOutcome(one.name, one.status, one.step, one.sentence) for one in outcomes)
    _write(replace(about, seconds=round(seconds, 1), exit_code=exit_code(outcomes), sessions=sessions), logs)


@contextmanager
def recorded_end(about: RunRecord, logs: Path) -> Iterator[None]:
    """If the block ends early, by an error or an interrupt, the logs say so: the terminal of a job may be lost."""
    started = time.monotonic()
    try:
        yield
    except BaseException as error:
        code: int | None = getattr(error, "exit_code", None)  # None: the command line knows the code of the error
        if isinstance(error, KeyboardInterrupt):
            stop_children()
            code = code or INTERRUPTED
        known = isinstance(error, Haca3Error | KeyboardInterrupt)
        words = str(error) or ("interrupted" if known else type(error).__name__)
        LOGGER.debug("The run ended early: %s", words, exc_info=None if known else error)
        _write(replace(about, seconds=round(time.monotonic() - started, 1), exit_code=code, error=words), logs)
        raise


def _write(about: RunRecord, logs: Path) -> None:
    try:
        write_text(make_folder(logs) / RUN_FILE, to_readable_json(about))
    except (Haca3Error, OSError) as error:  # the summary and the exit code tell how the run ended
        LOGGER.warning("The record of the run, %s, cannot be written: %s", RUN_FILE, error)
