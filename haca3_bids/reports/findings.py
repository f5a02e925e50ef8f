"""The page and the table files of an experiment of ``haca3 evaluate``."""

from __future__ import annotations

import csv
import io
import platform
from importlib.metadata import version

from haca3_bids import __version__
from haca3_bids.records.findings import Findings, Table, cell
from haca3_bids.reports.pixels import data_uri
from haca3_bids.reports.rendering import render

LIBRARIES = ("numpy", "scipy", "scikit-image")  # which compute the numbers
TSV_DIGITS, PAGE_DIGITS = 6, 4
LONG = 40  # rows from which a table is folded


def findings_page(name: str, findings: Findings, command: str) -> str:
    """A self-contained HTML page: figures, tables with descriptions of columns, the command and versions."""
    versions = {"haca3_bids": __version__, "Python": platform.python_version()}
    return render(
        "findings.html.j2",
        name=name,
        findings=findings,
        drawings=[(one, data_uri(one.content, "image/svg+xml")) for one in findings.drawings],
        tables=[(part, table, _cells(table)) for part, table in findings.tables.items()],
        versions=versions | {library: version(library) for library in LIBRARIES},
        command=command,
        version=__version__,
        long=LONG,
    )


def _cells(table: Table) -> list[list[tuple[str, bool]]]:
    """The text of every cell, and whether it is a number."""
    values = [[row.get(column.name) for column in table.present] for row in table.rows]
    return [[(cell(value, PAGE_DIGITS), isinstance(value, int | float)) for value in row] for row in values]


def to_tsv(table: Table) -> str:
    """The table as tab-separated text, with n/a for missing values as BIDS requires."""
    names, file = [column.name for column in table.present], io.StringIO()
    writer = csv.writer(file, delimiter="\t", lineterminator="\n")
    writer.writerow(names)
    writer.writerows([cell(row.get(name), TSV_DIGITS).replace("\t", " ") for name in names] for row in table.rows)
    return file.getvalue()
