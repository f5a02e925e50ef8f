"""``haca3 evaluate longitudinal``: the same people over time, before and after harmonization."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from haca3_bids.cli.command import add_number, check_least
from haca3_bids.cli.evaluate import volumes
from haca3_bids.cli.evaluate.comparison import estimate, interval_of, with_interval
from haca3_bids.cli.evaluate.given import add_brain
from haca3_bids.cli.evaluate.inputs import Line, bad_input, check_complete, check_unused, number, read_table
from haca3_bids.cli.evaluate.people import add_people
from haca3_bids.errors import BadInput
from haca3_bids.evaluation.scatter import change, reduction, scatter
from haca3_bids.records.findings import Column, Drawing, Findings, Table, Value

HELP = "reliability of a measurement over time: intraclass correlation, residual variance and annual change"
COLUMNS = {
    "longitudinal": (
        Column("measurement", "What was measured"),
        Column("method", "What it was measured in, such as the desc entity of the images"),
        Column("subjects", "Number of subjects"),
        Column("sessions", "Number of sessions"),
        Column("mean", "Mean over sessions, in units of the measurement"),
        *with_interval("per_year", "Slope a1 of age: change per year, in units of the measurement"),
        *with_interval(
            "icc", "Intraclass correlation: share of the variance, at a given age, that is between subjects"
        ),
        *with_interval("residual_variance", "Variance that neither age nor subject explains, in squared units"),
        Column("residual_percent", "Residual standard deviation in percent of the mean", "%"),
        Column("change_percent", "Residual variance compared with that of the first method", "%"),
        *interval_of("change"),
        Column("p", "Permutation test of that change: the two methods are exchanged in subjects at random"),
    ),
    "subjects": (
        Column("participant_id", "Subject"),
        Column("measurement", "What was measured"),
        Column("method", "What it was measured in"),
        Column("visits", "Number of sessions"),
        Column("per_year", "Slope of the straight line through the sessions, in units of the measurement per year"),
        Column("at_start", "Value of the line at the first session, in units of the measurement"),
        Column("percent_per_year", "Slope as a percentage of the value at the first session", "%/year"),
        Column("residual", "Standard deviation about the line, in units of the measurement; 0 with two sessions"),
    ),
    "volumes": volumes.COLUMNS,
}
Course = tuple[list[str], list[float], list[float]]  # subjects, ages and values of all sessions
OF_TABLES = ("value", "person", "time", "method")  # options of one kind of input
OF_DATASETS = ("contrast", "before", "after", "anatomy_maps", "people", "brain")
FEW = 10  # number of subjects below which bootstrap intervals are too narrow
MODEL = "value = a0 + a1 age + b_subject + e"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add options for the table or dataset, and for the statistics."""
    parser.add_argument(
        "input",
        type=Path,
        help="tab-separated table with one row per session (and method), or an output folder of haca3-bids, in which "
        "volumes of tissues are measured",
    )
    table = parser.add_argument_group("table")
    table.add_argument("--value", nargs="+", default=[], metavar="COLUMN", help="columns with measurements")
    table.add_argument("--person", default="participant_id", metavar="COLUMN", help="default: participant_id")
    table.add_argument("--time", metavar="COLUMN", help="column with age or time in years (default: age, else years)")
    table.add_argument("--method", metavar="COLUMN", help="column with the method; the first one is the baseline")
    dataset = parser.add_argument_group("dataset")
    volumes.add_arguments(dataset)
    add_people(dataset, "age")
    add_brain(parser)
    add_number(parser, "--draws", 1000, "bootstrap samples and permutations")
    add_number(parser, "--seed", 0, "random seed")


def run(args: argparse.Namespace) -> Findings:
    """Tables with a row per measurement and method, per subject, and for a dataset the volumes."""
    check_least(args, draws=1, seed=0)
    options = (OF_TABLES, "a table") if args.input.is_dir() else (OF_DATASETS, "an output folder of haca3-bids")
    check_unused(args, *options)
    measured = volumes.measured(args) if args.input.is_dir() else None
    if measured is None:
        lines, values, time, method = _of_table(args)
    else:
        lines, values, time, method = measured.lines, volumes.STRUCTURES, "age", "method"
    methods = list(dict.fromkeys(line[method] if method else "" for line in lines))
    data = {
        (value, name): _course((one for one in lines if not method or one[method] == name), args.person, time, value)
        for value in values
        for name in methods
    }
    rows = [row for value in values for row in _model(value, {name: data[value, name] for name in methods}, args)]
    slopes = [row for (value, name), course in data.items() for row in _subjects(value, name, course)]
    tables = {"longitudinal": Table(COLUMNS["longitudinal"], rows), "subjects": Table(COLUMNS["subjects"], slopes)}
    if measured is not None:
        tables["volumes"] = measured.table
    summary = f"The model {MODEL} (REML) of {', '.join(values)} in {args.input.resolve().name}; age is column {time}."
    people = max(len(set(course[0])) for course in data.values())
    notes = [f"There are only {people} subjects: intervals and p are unreliable."] if people < FEW else []
    unit = "" if measured is None else "mL"
    drawings = _drawings(data, rows, time, unit)
    return Findings(summary, tables, drawings, [*notes, *([] if measured is None else measured.notes)])


def _of_table(args: argparse.Namespace) -> tuple[list[Line], Sequence[str], str, str]:
    if not args.value:
        known = ", ".join(read_table(args.input, ())[0])
        raise BadInput(f"The measurements in {args.input.name} are not named.", f"Choose from {known} with --value.")
    columns = (args.person, *args.value, *([args.method] if args.method else []))
    lines = read_table(args.input, columns, "choose with --person, --value, --method")
    time = args.time or next((name for name in ("age", "years") if name in lines[0]), "age")
    if time not in lines[0]:
        raise BadInput(f"{args.input.name} has no column {time}.", f"It has {', '.join(lines[0])}; choose with --time.")
    if not args.method and len({line.get("method") for line in lines}) > 1:
        raise BadInput(f"{args.input.name} has several methods.", "Compare them with --method method.")
    check_complete(lines, [args.person, *([args.method] if args.method else [])], args.input)
    return lines, args.value, time, args.method or ""


def _course(lines: Iterable[Line], person: str, time: str, value: str) -> Course:
    """Subjects, ages and values, sorted so that the sessions of two methods correspond."""
    rows = sorted((line[person], number(line[time], time), number(line[value], value)) for line in lines)
    return [one for one, _, _ in rows], [age for _, age, _ in rows], [found for _, _, found in rows]


def _model(value: str, courses: Mapping[str, Course], args: argparse.Namespace) -> list[dict[str, Value]]:
    rows: list[dict[str, Value]] = []
    first = next(iter(courses))
    for name, course in courses.items():
        with bad_input(f"{value}{f' ({name})' if name else ''}"):
            found = scatter(*course, draws=args.draws, seed=args.seed)
        row: dict[str, Value] = {"measurement": value, "subjects": found.subjects, "sessions": found.sessions}
        row |= {"mean": found.mean, "residual_percent": found.residual_percent} | ({"method": name} if name else {})
        for key, one in (("per_year", found.slope), ("icc", found.icc), ("residual_variance", found.residual)):
            row |= {key: one.value, f"{key}_low": one.low, f"{key}_high": one.high}
        rows.append(row | (_change(courses[first], course, (first, name), args) if name != first else {}))
    return rows


def _change(before: Course, after: Course, names: tuple[str, str], args: argparse.Namespace) -> dict[str, Value]:
    if before[:2] != after[:2]:
        raise BadInput(
            f"{' and '.join(names)} do not have the same sessions.", "Keep only the sessions that all methods have."
        )
    found = reduction(*before, after[2], draws=args.draws, seed=args.seed)
    percent = found.percent
    return {"change_percent": percent.value, "change_low": percent.low, "change_high": percent.high, "p": found.p}


def _subjects(value: str, method: str, course: Course) -> list[dict[str, Value]]:
    rows: list[dict[str, Value]] = []
    for person in dict.fromkeys(course[0]):
        own = [(age, found) for one, age, found in zip(*course, strict=True) if one == person]
        times, values = zip(*own, strict=True)
        row: dict[str, Value] = {"participant_id": person, "measurement": value, "visits": len(times)}
        row |= {"method": method} if method else {}
        if len(set(times)) > 1:
            found = change(times, values)
            row |= {"per_year": found.per_year, "at_start": found.at_start, "residual": found.residual}
            row["percent_per_year"] = 100 * found.per_year / found.at_start if found.at_start else None
        rows.append(row)
    return rows


def _drawings(
    data: Mapping[tuple[str, str], Course], rows: Sequence[Mapping[str, Value]], time: str, unit: str
) -> list[Drawing]:
    from haca3_bids.reports.charts import courses, intervals

    def estimates(key: str) -> dict[str, dict[str, tuple[float, float, float]]]:
        found: dict[str, dict[str, tuple[float, float, float]]] = {}
        for row in rows:
            found.setdefault(str(row["measurement"]), {})[str(row.get("method", ""))] = estimate(row, key)
        return found

    return [
        Drawing("Sessions", courses(data, time, unit), caption="One line per subject."),
        Drawing("Intraclass correlation", intervals(estimates("icc"), "ICC"), caption="Bars are 95 % intervals."),
        Drawing(
            "Residual variance",
            intervals(estimates("residual_variance"), f"variance ({unit}²)" if unit else "variance", limits=(0, None)),
            caption="Bars are 95 % intervals.",
        ),
    ]
