"""The page of an experiment of ``haca3 evaluate``, and the files of tables."""

import platform
from importlib.metadata import version
from pathlib import Path

from haca3_bids import __version__
from haca3_bids.bids.atomic import write_json, write_text
from haca3_bids.records.findings import Findings, Table, cell, to_tsv
from haca3_bids.reports.pixels import data_uri
from haca3_bids.reports.rendering import render

LIBRARIES = ("numpy", "scipy", "scikit-image")  # which compute the numbers
PAGE_DIGITS = 4
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


def write_table(folder: Path, stem: str, table: Table) -> None:
    """Write a table as TSV, and the descriptions of its columns as JSON."""
    write_text(folder / f"{stem}.tsv", to_tsv(table))
    write_json(folder / f"{stem}.json", {column.name: column.described() for column in table.present})
