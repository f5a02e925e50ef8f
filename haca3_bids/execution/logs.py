"""Messages: what the user reads on the terminal, and all of it in ``logs/<run>/log.txt``."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SILENT = logging.CRITICAL + 1
NIPYPE_LOGGERS = ("nipype", "nipype.workflow", "nipype.interface", "nipype.utils")


@contextmanager
def terminal_messages(verbosity: int) -> Iterator[None]:
    """Send the App's messages to the terminal while the block runs; more of them the larger ``verbosity``."""
    logger = logging.getLogger("haca3_bids")
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    handler.setLevel(logging.DEBUG if verbosity > 0 else logging.INFO)
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


@contextmanager
def log_file(path: Path, verbosity: int) -> Iterator[None]:
    """Keep everything that the App and Nipype say in a file; Nipype speaks on the terminal from -vv on."""
    handlers: list[logging.Handler] = [logging.FileHandler(path, encoding="utf-8")]
    handlers[0].setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    _prepare_nipype(verbosity)
    logging.getLogger("haca3_bids").addHandler(handlers[0])
    if verbosity > 1:
        handlers.append(logging.StreamHandler(sys.stdout))
        handlers[1].setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s", "%H:%M:%S"))
    for handler in handlers:
        logging.getLogger("nipype").addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            logging.getLogger("haca3_bids").removeHandler(handler)
            logging.getLogger("nipype").removeHandler(handler)
            handler.close()


def _prepare_nipype(verbosity: int) -> None:
    """Silence the handler that importing Nipype sets up, and choose how much it says to ours."""
    import nipype  # noqa: F401

    for handler in logging.getLogger("nipype").handlers:
        handler.setLevel(SILENT)
    for name in NIPYPE_LOGGERS:
        logging.getLogger(name).setLevel(logging.DEBUG if verbosity > 2 else logging.INFO)
