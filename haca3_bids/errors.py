"""Expected failures, one class per cause: exit code, sentence, hint.

Exit codes follow fMRIPrep's 16-18 and ``sysexits.h``'s 64-75.
"""

from __future__ import annotations

import errno
import json
from dataclasses import asdict, dataclass
from typing import ClassVar

DATA = "haca3-error: "  # begins the line of a traceback that holds the error as JSON
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE)  # a full disk, or one that is gone


class Haca3Error(Exception):
    """An expected failure: a sentence on what was found and what is required, and a hint on what to do."""

    exit_code: ClassVar[int] = 1

    def __init__(self, sentence: str, hint: str = "") -> None:
        super().__init__(sentence, hint)
        self.sentence = sentence
        self.hint = hint
        self.add_note(f"{DATA}{json.dumps(asdict(self.failure()))}")  # tracebacks are the way out of a step's process

    def failure(self, step: str = "") -> Failure:
        """The error as other processes and files have it; ``step`` says in words what was being done."""
        return Failure(self.sentence, self.hint, type(self).__name__, step)

    def __str__(self) -> str:
        return f"{self.sentence} {self.hint}".strip()


class InvalidBids(Haca3Error):
    """The input is not a valid BIDS dataset."""

    exit_code = 16


class UnknownLevel(Haca3Error):
    """The analysis level is neither participant nor group."""

    exit_code = 17


class NothingSelected(Haca3Error):
    """The labels and filters of the command line leave nothing to do."""

    exit_code = 18


class UsageError(Haca3Error):
    """The command line cannot be understood or contradicts itself."""

    exit_code = 64


class BadInput(Haca3Error):
    """An input file is corrupt, is not one 3D image, or cannot be used."""

    exit_code = 65


class NoUsableImage(Haca3Error):
    """There is no T1w, T2w, PDw or FLAIR at all."""

    exit_code = 66


class Unavailable(Haca3Error):
    """Weights, template or GPU are unavailable."""

    exit_code = 69


class CannotCreate(Haca3Error):
    """An output cannot be created."""

    exit_code = 73


class InputOutputFailure(Haca3Error):
    """Reading or writing failed: disk full, file system gone."""

    exit_code = 74


class FileLost(InputOutputFailure):
    """A file that an earlier step wrote, or an input, has disappeared."""


class TemporaryFailure(Haca3Error):
    """Trying again may help: a lock is held, the GPU is out of memory."""

    exit_code = 75


@dataclass(frozen=True)
class Failure:
    """An error on its way between processes and in files."""

    sentence: str
    hint: str = ""
    kind: str = "Haca3Error"
    step: str = ""

    def error(self) -> Haca3Error:
        """The error itself, of its own class where there is such a class."""
        kind = globals().get(self.kind)
        known = kind if isinstance(kind, type) and issubclass(kind, Haca3Error) else Haca3Error
        return known(self.sentence, self.hint)


def exit_codes() -> dict[int, str]:
    """Every exit code with its meaning."""
    kinds = sorted(Haca3Error.__subclasses__(), key=lambda kind: kind.exit_code)
    own = {0: "Everything is done.", 1: "At least one session failed; the others are done."}
    return own | {kind.exit_code: str(kind.__doc__) for kind in kinds}


def from_traceback(text: str) -> Haca3Error | None:
    """The expected error at the end of a printed traceback; None for any other error."""
    _, mark, after = text.rpartition(DATA)
    if not mark or "Traceback (most recent call last)" in after:
        return None
    try:
        return Failure(**json.loads(after.splitlines()[0])).error()
    except (ValueError, LookupError, TypeError):
        return None
