"""Messages on the terminal and in ``logs/<run>/log.txt``."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from logging.handlers import MemoryHandler
from pathlib import Path
from typing import TextIO

SILENT = logging.CRITICAL + 1
EARLY = 10_000  # messages before there is a log file
NIPYPE_LOGGERS = ("nipype", "nipype.workflow", "nipype.interface", "nipype.utils")


class LogFile(logging.FileHandler):
    """A log file that does not disturb the run: if the disk is full, messages are dropped."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        """Ignore errors of the disk; the sessions that it concerns report them."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        """Close the file, even if its last messages cannot be written."""
        with suppress(OSError):
            super().close()


class Terminal(logging.StreamHandler[TextIO]):
    """Messages on the terminal."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        """Ignore a closed pipe, as after ``| head``: the run goes on, and its log has all messages."""
        if not isinstance(sys.exc_info()[1], BrokenPipeError):
            super().handleError(record)


@contextmanager
def terminal_messages(verbosity: int) -> Iterator[None]:
    """Print the App's messages on the terminal within the block, with debug messages if ``verbosity`` > 0."""
    logger = logging.getLogger("haca3_bids")
    handler = Terminal(sys.stdout)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    handler.setLevel(logging.DEBUG if verbosity > 0 else logging.INFO)
    before = logger.level, logger.propagate
    early = MemoryHandler(EARLY, flushLevel=SILENT, flushOnClose=False)  # until there is a log file
    for one in (handler, early):
        logger.addHandler(one)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield
    finally:
        for one in (handler, early):
            logger.removeHandler(one)
        logger.setLevel(before[0])
        logger.propagate = before[1]


@contextmanager
def log_file(path: Path, verbosity: int) -> Iterator[None]:
    """Write all messages of the App and Nipype to a file; with -vv, print those of Nipype as well."""
    handlers: list[logging.Handler] = [LogFile(path, encoding="utf-8")]
    handlers[0].setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    _prepare_nipype(verbosity)
    logger = logging.getLogger("haca3_bids")
    for early in [one for one in logger.handlers if isinstance(one, MemoryHandler)]:
        early.setTarget(handlers[0])
        early.flush()
        logger.removeHandler(early)
    logger.addHandler(handlers[0])
    if verbosity > 1:
        handlers.append(Terminal(sys.stdout))
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
    """Silence Nipype's own handler and set the level of its loggers."""
    import nipype  # noqa: F401

    for handler in logging.getLogger("nipype").handlers:
        handler.setLevel(SILENT)
    for name in NIPYPE_LOGGERS:
        logging.getLogger(name).setLevel(logging.DEBUG if verbosity > 2 else logging.INFO)
