"""``haca3 evaluate reliability``: intraclass correlation of a measurement at several sites."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from haca3_bids.cli.evaluate.inputs import bad_input, check_complete, number, read_table
from haca3_bids.errors import BadInput
from haca3_bids.evaluation.reliability import reliability
from haca3_bids.records.findings import Column, Drawing, Findings, Table

HELP = "intraclass correlation coefficients of a measurement"
COLUMNS = {
    "reliability": (
        Column("people", "Number of subjects measured at all sites"),
        Column("sites", "Number of sites"),
        Column("agreement", "ICC(2,1), absolute agreement: differences between sites count as errors"),
        Column("consistency", "ICC(3,1), consistency: constant differences between sites do not count as errors"),
        Column("between_people", "Standard deviation between subjects, in units of the measurement"),
        Column("between_sites", "Standard deviation between sites, in units of the measurement"),
        Column("residual", "Standard deviation of the residual, in units of the measurement"),
    )
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add options for the table and its columns."""
    parser.add_argument("table", type=Path, help="tab-separated table with one row per session")
    parser.add_argument("--value", required=True, metavar="COLUMN", help="column with the measurement")
    parser.add_argument("--person", default="participant_id", metavar="COLUMN", help="default: participant_id")
    parser.add_argument("--site", default="site", metavar="COLUMN", help="column with the site (default: site)")


def run(args: argparse.Namespace) -> Findings:
    """A table with one row of coefficients."""
    table = _by_person(args)
    sites = sorted({site for values in table.values() for site in values})
    whole = {person: values for person, values in table.items() if set(values) == set(sites)}
    values = np.array([[whole[person][site] for site in sites] for person in whole]).reshape(len(whole), len(sites))
    with bad_input():
        found = reliability(values)
    names = ("agreement", "consistency", "between_people", "between_sites", "residual")
    row = {"people": len(whole), "sites": len(sites)} | {name: getattr(found, name) for name in names}
    missing = len(table) - len(whole)
    notes = [f"Left out: {missing} of {len(table)} subjects, who lack a value at a site."] if missing else []
    summary = f"Column {args.value} of {args.table.name}, measured in the same people at the sites {', '.join(sites)}."
    drawings = [_drawing(whole, sites, args.value)] if args.out else ()
    return Findings(summary, {"reliability": Table(COLUMNS["reliability"], [row])}, drawings, notes)


def _drawing(people: Mapping[str, Mapping[str, float]], sites: Sequence[str], value: str) -> Drawing:
    from haca3_bids.reports.charts import dots, panels, svg

    figure, (axes,) = panels([value], value)
    dots(axes, {site: [values[site] for values in people.values()] for site in sites})
    caption = "One dot per subject and site, those of a subject joined; bars: medians."
    return Drawing(f"{value} by site", svg(figure), caption=caption)


def _by_person(args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Values by person and site; BadInput if a person has two values of a site."""
    table: dict[str, dict[str, float]] = {}
    names = (args.person, args.site)
    lines = read_table(args.table, (*names, args.value), "choose with --person, --value, --site")
    check_complete(lines, names, args.table)
    for line in lines:
        person, site = line[args.person], line[args.site]
        values = table.setdefault(person, {})
        if site in values:
            sentence = f"{args.table.name} has two lines for {person} and {args.site} {site}."
            raise BadInput(sentence, "Keep one session of each person and site.")
        values[site] = number(line[args.value], args.value)
    return table
