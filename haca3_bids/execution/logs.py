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
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    names = ("haca3_bids", "nipype")
    _quiet_nipype(verbosity)
    for name in names:
        logging.getLogger(name).addHandler(handler)
    try:
        yield
    finally:
        for name in names:
            logging.getLogger(name).removeHandler(handler)
        handler.close()


def _quiet_nipype(verbosity: int) -> None:
    import nipype  # noqa: F401  (importing it sets its own handlers up)

    for handler in logging.getLogger("nipype").handlers:
        if not isinstance(handler, logging.FileHandler):
            handler.setLevel(logging.DEBUG if verbosity > 1 else SILENT)
    for name in NIPYPE_LOGGERS:
        logging.getLogger(name).setLevel(logging.DEBUG if verbosity > 2 else logging.INFO)
