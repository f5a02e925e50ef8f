"""The findings of an experiment: tables with described columns, and figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Value = float | int | str | None  # None and NaN: not available


@dataclass(frozen=True)
class Column:
    """One column of a table: its name and what BIDS asks to be said of it in a JSON file."""

    name: str
    description: str  # one sentence, without a full stop
    units: str = ""
    levels: Mapping[str, str] = field(default_factory=dict)

    def described(self) -> dict[str, object]:
        """The entry of the column in the JSON file."""
        said = {"Description": self.description, "Units": self.units, "Levels": dict(self.levels)}
        return {key: value for key, value in said.items() if value}


@dataclass(frozen=True)
class Table:
    """Rows under described columns; a row without a value has n/a there."""

    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Value]]
    caption: str = ""

    @property
    def present(self) -> list[Column]:
        """The columns that at least one row has."""
        return [column for column in self.columns if any(column.name in row for row in self.rows)]


@dataclass(frozen=True)
class Drawing:
    """A figure as it stands on the page: a finished SVG, PNG or JPEG file."""

    title: str
    content: bytes
    mime: str = "image/svg+xml"
    caption: str = ""


@dataclass(frozen=True)
class Findings:
    """All that an experiment found.

    ``tables`` are by name: that of the experiment, and of the others the part that follows it in their files' names.
    """

    summary: str  # what was compared with what, one or two sentences
    tables: Mapping[str, Table]
    drawings: Sequence[Drawing] = ()
    notes: Sequence[str] = ()  # what a reader must know: people left out, settings


def cell(value: Value, digits: int) -> str:
    """A value as text: numbers with so many significant digits, n/a where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "n/a"
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)
