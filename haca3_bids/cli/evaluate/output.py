"""Output of findings: printed, and as TSV, JSON and HTML files."""

from __future__ import annotations

import sys
from pathlib import Path

from haca3_bids.errors import CannotCreate
from haca3_bids.records.findings import Findings, to_tsv

DIGITS = 4  # of printed numbers


def print_tables(findings: Findings) -> None:
    """Print tab-separated tables, with empty lines between them, and notes to standard error."""
    for note in findings.notes:
        print(note, file=sys.stderr)
    for index, table in enumerate(findings.tables.values()):
        if index:
            print()
        print(to_tsv(table, DIGITS), end="")


def check_out(folder: Path) -> None:
    """Create the output folder; CannotCreate if that is impossible. It is called before long computations."""
    from haca3_bids.bids.atomic import make_folder

    if folder.exists() and not folder.is_dir():
        raise CannotCreate(f"--out {folder.name} is a file.", "Name a folder.")
    make_folder(folder)


def write_findings(name: str, findings: Findings, command: str, folder: Path) -> None:
    """Write a TSV and a JSON file for every table, and one report; existing files are replaced."""
    from haca3_bids.bids.atomic import write_text
    from haca3_bids.reports.findings import findings_page, write_table

    try:
        for part, table in findings.tables.items():
            write_table(folder, name if part == name else f"{name}_{part}", table)
        write_text(folder / f"{name}.html", findings_page(name, findings, command))
    except OSError as error:
        raise CannotCreate(f"{folder.name} cannot be written to ({error.strerror}).", "Is the disk full?") from error
    print(f"Report: {folder / name}.html", file=sys.stderr)
