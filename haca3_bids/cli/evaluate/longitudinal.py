"""``haca3 evaluate longitudinal``: a measurement of the same people over time."""

from __future__ import annotations

import argparse
from pathlib import Path

from haca3_bids.cli.evaluate.inputs import bad_input, number, read_table
from haca3_bids.records.findings import Column, Findings, Table, Value

HELP = "annual change of a measurement in each subject"
COLUMNS = {
    "longitudinal": (
        Column("participant_id", "Subject"),
        Column("visits", "Number of sessions"),
        Column("per_year", "Slope of the straight line through the sessions, in units of the measurement per year"),
        Column("at_start", "Value of the line at the first session, in units of the measurement"),
        Column("percent_per_year", "Slope as a percentage of the value at the first session", "%/year"),
        Column("residual", "Standard deviation about the line, in units of the measurement; 0 with two sessions"),
    )
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The table and its columns."""
    parser.add_argument("table", type=Path, help="tab-separated table with one row per session")
    parser.add_argument("--value", required=True, metavar="COLUMN", help="column with the measurement")
    parser.add_argument("--person", default="participant_id", metavar="COLUMN", help="default: participant_id")
    parser.add_argument(
        "--time", default="years", metavar="COLUMN", help="column with the time in years (default: years)"
    )


def run(args: argparse.Namespace) -> Findings:
    """One row per person."""
    from haca3_bids.evaluation.longitudinal import change

    visits: dict[str, list[tuple[float, float]]] = {}
    for line in read_table(args.table, (args.person, args.time, args.value), "choose with --person, --value, --time."):
        visit = number(line[args.time], args.time), number(line[args.value], args.value)
        visits.setdefault(line[args.person], []).append(visit)
    rows: list[dict[str, Value]] = []
    for person, own in visits.items():
        with bad_input():
            found = change(*zip(*own, strict=True))
        rows.append(
            {
                "participant_id": person,
                "visits": len(own),
                "per_year": found.per_year,
                "at_start": found.at_start,
                "percent_per_year": 100 * found.per_year / found.at_start if found.at_start else None,
                "residual": found.residual,
            }
        )
    summary = f"A straight line through column {args.value} of {args.table.name} over {args.time}, for each subject."
    return Findings(summary, {"longitudinal": Table(COLUMNS["longitudinal"], rows)})
