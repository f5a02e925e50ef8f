"""Reading of tables for the experiments, and conversion of errors."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from haca3_bids.errors import BadInput, UsageError

Line = dict[str, str]


@contextmanager
def bad_input(about: str = "") -> Iterator[None]:
    """Convert a ValueError of the block, which describes the input, to BadInput; ``about`` precedes its message."""
    try:
        yield
    except ValueError as error:
        sentence = f"{about}: {error}" if about else str(error)
        raise BadInput(f"{sentence[:1].upper()}{sentence[1:]}.") from error


def read_table(path: Path, columns: Sequence[str], hint: str = "") -> list[Line]:
    """The rows of a tab-separated table; BadInput if one of the ``columns`` is missing."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = list(csv.DictReader(file, delimiter="\t"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path.name} cannot be read.", "A text file with tabs between columns is needed.") from error
    missing = [name for name in columns if not lines or name not in lines[0]]
    if missing:
        known = ", ".join(lines[0]) if lines else "none"
        raise BadInput(
            f"{path.name} has no column {' or '.join(missing)}.", f"It has {known}{f'; {hint}' if hint else ''}."
        )
    return lines


def number(text: str, name: str) -> float:
    """The number in a cell of column ``name``; BadInput if it is not a number."""
    try:
        return float(text)
    except (TypeError, ValueError):
        raise BadInput(f"'{text}' in column {name} is not a number.", "Remove such lines.") from None


def check_least(args: argparse.Namespace, **least: int) -> None:
    """Raise UsageError if an option is smaller than its minimum."""
    for name, lowest in least.items():
        if getattr(args, name) < lowest:
            raise UsageError(f"--{name} {getattr(args, name)} is invalid.", f"It must be {lowest} or more.")
