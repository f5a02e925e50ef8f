"""Data on subjects and sessions, such as age and site, from a BIDS dataset or a table."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from haca3_bids.bids.participants import NO_VALUE
from haca3_bids.cli.evaluate.inputs import read_table
from haca3_bids.errors import BadInput

Names = tuple[str, str]  # ("sub-01", "ses-1"), or ("sub-01", "") for all sessions of a subject


@dataclass(frozen=True)
class People:
    """The columns by participant and session."""

    source: str  # name of the dataset or table
    rows: Mapping[Names, Mapping[str, str]]

    def has_own(self, column: str, participant: str, session: str) -> bool:
        """Whether a session has a value of its own, not only its subject."""
        return self.rows.get((participant, session), {}).get(column, "").casefold() not in NO_VALUE

    def value(self, column: str, participant: str, session: str) -> str:
        """The value of a column for a session, else for its subject; BadInput if there is none."""
        for names in ((participant, session), (participant, "")):
            found = self.rows.get(names, {}).get(column, "")
            if found.casefold() not in NO_VALUE:
                return found
        of = "_".join(filter(None, (participant, session)))
        raise BadInput(
            f"{of} has no {column} in {self.source}.",
            f"Give a BIDS dataset or a table with participant_id, session_id and {column}.",
        )


def add_people(parser: argparse._ActionsContainer, needed: str) -> None:
    """Add the option ``--people``."""
    parser.add_argument(
        "--people",
        type=Path,
        metavar="PATH",
        help=f"where the {needed} of each session is found: a BIDS dataset (participants.tsv and sessions.tsv) or a "
        "table with participant_id and, where it differs between sessions, session_id",
    )


def read_people(path: Path | None, needed: str) -> People:
    """The columns of a dataset or table; BadInput if there is none."""
    if path is None:
        raise BadInput(
            f"The {needed} of the sessions is unknown.", "Name a dataset or table that contains it with --people."
        )
    if not path.is_dir():
        return People(path.name, _rows(path))
    rows: dict[Names, Mapping[str, str]] = {}
    for file in (path / "participants.tsv", *sorted(path.glob("sub-*/sub-*_sessions.tsv"))):
        if file.exists():
            rows |= _rows(file, file.parent.name if file.parent != path else "")
    if not rows:
        raise BadInput(f"{path.name} has no participants.tsv.", "Give a BIDS dataset or a table with --people.")
    return People(path.name, rows)


def _rows(file: Path, participant: str = "") -> dict[Names, Mapping[str, str]]:
    """The rows of a table, or of the sessions.tsv of a ``participant``."""
    lines = read_table(file, ("session_id",) if participant else ("participant_id",))
    return {(_named("sub", participant or line["participant_id"]), _session(line)): line for line in lines}


def _session(line: Mapping[str, str]) -> str:
    said = line.get("session_id") or ""
    return "" if said.casefold() in NO_VALUE else _named("ses", said)


def _named(entity: str, label: str) -> str:
    return f"{entity}-{label.removeprefix(f'{entity}-')}"
