"""Records to and from JSON.

A key that a file lacks has its default, one that is not known is passed over, and a number that is not finite is null.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from haca3_bids.errors import Failure, Haca3Error

T = TypeVar("T")


def to_json(value: object) -> str:
    """The JSON of a record, or of plain values, on one line."""
    return msgspec.json.encode(value, enc_hook=_plain).decode()


def to_readable_json(value: object) -> str:
    """The same as people read it."""
    return msgspec.json.format(to_json(value), indent=2) + "\n"


def from_json(text: str | bytes, kind: type[T]) -> T:
    """The record in a text; ValueError where it holds something else."""
    return msgspec.json.decode(text, type=kind)


def from_values(values: object, kind: type[T]) -> T:
    """The record that plain values, as from JSON, make."""
    return msgspec.convert(values, kind)


def read_record(path: Path, kind: type[T]) -> T | None:
    """The record in a file; None where there is no file or it holds something else."""
    try:
        return from_json(path.read_bytes(), kind)
    except (OSError, ValueError, Haca3Error):
        return None


@dataclass(frozen=True)
class Refusal:
    """The answer of a process that ended with an error."""

    error: Failure | None = None


def from_answer(text: str | bytes, kind: type[T]) -> T:
    """The record that another process answers; the error that it ended with is raised here."""
    refused = from_json(text, Refusal).error
    if refused is not None:
        raise refused.error()
    return from_json(text, kind)


def _plain(value: Any) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no part of a record")
