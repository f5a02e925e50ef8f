"""What both commands share: wrong usage and expected failures are a sentence, a hint and an exit code."""

import argparse
import errno
import os
import select
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from haca3_bids.errors import DISK_ERRORS, BadInput, CannotCreate, Haca3Error, InputOutputFailure, UsageError
from haca3_bids.execution.interrupt import Terminated
from haca3_bids.partial import real_path

CLOSED_PIPE = 141  # as in a shell: 128 and the number of SIGPIPE


class Parser(argparse.ArgumentParser):
    """A parser that raises UsageError (64)."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message[:1].upper()}{message[1:]}.", f"See {self.prog} --help.")


def add_number(group: argparse._ActionsContainer, flag: str, default: int, words: str) -> None:
    """Add an option that takes a whole number, with its default in the help text."""
    group.add_argument(flag, type=int, default=default, metavar="N", help=f"{words} (default: {default})")


def add_threads(group: argparse._ActionsContainer) -> None:
    """Add the option ``--threads``."""
    group.add_argument("--threads", type=int, default=0, metavar="N", help="CPU threads (default: PyTorch's choice)")


def check_least(args: argparse.Namespace, **least: int) -> None:
    """Raise UsageError if an option that was given is smaller than its minimum."""
    for name, lowest in least.items():
        if (given := getattr(args, name)) is not None and given < lowest:
            raise UsageError(f"--{name} {given} is invalid.", f"It must be {lowest} or more.")


def exit_code_of(program: str, run: Callable[[], int], interrupted: str = "") -> int:
    """The exit code of ``run``, which may end early; ``interrupted`` says what an interruption leaves behind."""
    try:
        code = run()
        sys.stdout.flush()
    except Haca3Error as error:
        return _say(program, error)
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            return CLOSED_PIPE
        expected = from_system(error)
        if expected is None:
            raise
        return _say(program, expected)
    except KeyboardInterrupt as interrupt:
        sys.stderr.write(f"\n{program}: {f'interrupted. {interrupted}'.strip()}\n")
        return interrupt.exit_code if isinstance(interrupt, Terminated) else 130
    return code


def from_system(error: OSError) -> Haca3Error | None:
    """The expected error behind an error of the system; None for a bug."""
    file = Path(str(error.filename)) if error.filename else Path("a file")
    if error.errno in DISK_ERRORS:
        return InputOutputFailure(
            f"Reading or writing {real_path(file).name} failed: {error.strerror}.", "Is the disk full?"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        kind = BadInput if real_path(file) == file else CannotCreate  # a partial file is one that is being written
        return kind(
            f"No permission to read or write {real_path(file)} ({error.strerror}).",
            "Check its owner and permissions, and those of its parent folders.",
        )
    if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG):
        sentence = f"{real_path(file)} cannot be read or created ({error.strerror})."
        return CannotCreate(sentence, "Is a file in the place of a folder, or a folder in the place of a file?")
    return None


def _nobody_reads() -> bool:
    """Whether standard output is a pipe that was closed, as by ``| head``; what is still buffered is then discarded."""
    try:
        output = sys.stdout.fileno()
    except OSError:  # it is captured
        return False
    poll = select.poll()
    poll.register(output, 0)
    if not any(event & select.POLLERR for _, event in poll.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    return True


def _say(program: str, error: Haca3Error) -> int:
    sys.stderr.write(f"{program}: {error.sentence}\n")
    if error.hint:
        sys.stderr.write(f"{' ' * len(program)}  {error.hint}\n")
    return error.exit_code
