"""The findings of an experiment: tables with described columns, and figures."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

TSV_DIGITS = 6
Value = float | int | str | None  # None and NaN: not available


@dataclass(frozen=True)
class Column:
    """One column of a table, with its description for the JSON file that BIDS requires."""

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
    """A table with described columns; missing values are n/a."""

    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Value]]
    caption: str = ""

    @property
    def present(self) -> list[Column]:
        """The columns that occur in at least one row; all of them if there are no rows."""
        return [column for column in self.columns if not self.rows or any(column.name in row for row in self.rows)]


@dataclass(frozen=True)
class Drawing:
    """A figure of the page: the content of an SVG file."""

    title: str
    content: bytes
    caption: str = ""


@dataclass(frozen=True)
class Findings:
    """The findings of an experiment.

    Keys of ``tables`` are the name of the experiment, and the parts that follow it in the names of the other files.
    """

    summary: str  # one or two sentences: what was compared
    tables: Mapping[str, Table]
    drawings: Sequence[Drawing] = ()
    notes: Sequence[str] = ()  # for the reader: excluded subjects, settings


def cell(value: Value, digits: int) -> str:
    """A value as text: floats with ``digits`` significant digits, n/a for None and NaN."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "n/a"
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def to_tsv(table: Table, digits: int = TSV_DIGITS) -> str:
    """The table as tab-separated text, with n/a for missing values as BIDS requires."""
    names, file = [column.name for column in table.present], io.StringIO()
    writer = csv.writer(file, delimiter="\t", lineterminator="\n")
    writer.writerow(names)
    for row in table.rows:
        writer.writerow(cell(row.get(name), digits).replace("\t", " ").replace("\n", " ") for name in names)
    return file.getvalue()
