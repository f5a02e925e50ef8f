"""Evaluate harmonization: images, label maps, tables and whole outputs of haca3-bids."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from haca3_bids.bids.atomic import make_folder, write_text
from haca3_bids.cli.evaluate import (
    anatomy,
    attention,
    lesions,
    longitudinal,
    overlap,
    reliability,
    similarity,
    site,
    travelling,
)
from haca3_bids.errors import CannotCreate
from haca3_bids.execution.places import shareable_word
from haca3_bids.records.findings import Column, Findings, to_tsv


class Experiment(Protocol):
    """The interface of the module of an experiment, which imports nothing slower than NumPy before ``run``."""

    @property
    def HELP(self) -> str:  # noqa: N802
        """The help text, one line."""

    @property
    def COLUMNS(self) -> Mapping[str, Sequence[Column]]:  # noqa: N802
        """The columns of each table; the first table has the name of the experiment."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add its options, except ``--out``."""

    def run(self, args: argparse.Namespace) -> Findings:
        """Its findings; BadInput if the input is not suitable."""


DIGITS = 4  # of printed numbers
HELP = "Measure the effect of harmonization, in images, tables and whole outputs of haca3-bids."
EXPERIMENTS: Mapping[str, Experiment] = {
    "similarity": similarity,
    "overlap": overlap,
    "travelling": travelling,
    "anatomy": anatomy,
    "attention": attention,
    "reliability": reliability,
    "longitudinal": longitudinal,
    "site": site,
    "lesions": lesions,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one command per experiment; each prints tab-separated tables."""
    parts = parser.add_subparsers(required=True, metavar="EXPERIMENT", dest="experiment")
    for name, experiment in EXPERIMENTS.items():
        one = parts.add_parser(
            name, help=experiment.HELP, description=f"{experiment.HELP[:1].upper()}{experiment.HELP[1:]}."
        )
        experiment.add_arguments(one)
        one.set_defaults(default_of=one.get_default)  # for ``inputs.check_unused``
        one.add_argument(
            "--out",
            type=Path,
            metavar="DIR",
            help=f"folder to write {name}.tsv, {name}.json (the columns) and {name}.html (a report) to",
        )


def main(args: argparse.Namespace) -> int:
    """Print the tables of an experiment, write them with a report if ``--out`` is given, and return 0."""
    if args.out:
        check_out(args.out)
    findings = EXPERIMENTS[args.experiment].run(args)
    print_tables(findings)
    if args.out:
        write_findings(args.experiment, findings, shareable(args.words), args.out)
    return 0


def shareable(words: Sequence[str]) -> str:
    """The command line with paths replaced by their last component, also in NAME=PATH."""
    return " ".join(["haca3", *(shareable_word(word, {}) for word in words)])


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
    if folder.exists() and not folder.is_dir():
        raise CannotCreate(f"--out {folder.name} is a file.", "Name a folder.")
    make_folder(folder)


def write_findings(name: str, findings: Findings, command: str, folder: Path) -> None:
    """Write a TSV and a JSON file for every table, and one report; existing files are replaced."""
    from haca3_bids.reports.findings import findings_page, write_table

    try:
        for part, table in findings.tables.items():
            write_table(folder, name if part == name else f"{name}_{part}", table)
        write_text(folder / f"{name}.html", findings_page(name, findings, command))
    except OSError as error:
        raise CannotCreate(f"{folder.name} cannot be written to ({error.strerror}).", "Is the disk full?") from error
    print(f"Report: {folder / name}.html", file=sys.stderr)
