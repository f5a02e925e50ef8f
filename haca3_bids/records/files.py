"""Conversion of records to and from JSON.

Missing keys have their defaults, unknown keys are ignored, and numbers that are not finite are null.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from haca3_bids.errors import Failure, Haca3Error

T = TypeVar("T")


def to_json(value: object) -> str:
    """A record or plain values as JSON on one line."""
    return msgspec.json.encode(value, enc_hook=_plain).decode()


def to_readable_json(value: object) -> str:
    """A record or plain values as indented JSON."""
    return msgspec.json.format(to_json(value), indent=2) + "\n"


def from_json(text: str | bytes, kind: type[T]) -> T:
    """The record from JSON; ValueError if the text is not a record of this kind."""
    return msgspec.json.decode(text, type=kind)


def from_values(values: object, kind: type[T]) -> T:
    """The record from plain values; ValueError if they do not have its types."""
    return msgspec.convert(values, kind)


def read_record(path: Path, kind: type[T]) -> T | None:
    """The record in a file; None if there is no such file or it has other content."""
    try:
        return from_json(path.read_bytes(), kind)
    except (OSError, ValueError, Haca3Error):
        return None


@dataclass(frozen=True)
class Refusal:
    """The answer of a process that failed."""

    error: Failure | None = None


def from_answer(text: str | bytes, kind: type[T]) -> T:
    """The record in the answer of another process; raises the error with which it ended."""
    refused = from_json(text, Refusal).error
    if refused is not None:
        raise refused.error()
    return from_json(text, kind)


def _plain(value: Any) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be stored in a record")
