"""Tolerant reading of ``participants.tsv`` and ``sessions.tsv``: what is unambiguous is accepted, the rest reported."""

import csv
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from haca3_bids.bids.lenient import read_lines
from haca3_bids.bids.names import is_label, some_of

DELIMITERS = {"\t": "tabs", ",": "commas", ";": "semicolons"}
NO_VALUE = ("", "n/a", "nan")
ID_COLUMNS = {"sub": "participant_id", "ses": "session_id"}


@dataclass(frozen=True)
class Participants:
    """The columns of each participant (``sub-01``) or session (``ses-1``), and warnings about the file."""

    rows: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def read_participants(path: Path, known: Collection[str] = ()) -> Participants:
    """The participants in a file; empty without a file.

    ``known`` are the participants of the dataset, to which labels without leading zeros are matched.
    """
    return _read(path, known, "sub")


def read_sessions(path: Path, known: Collection[str] = ()) -> Participants:
    """The sessions in a file ``sub-01_sessions.tsv``, as ``read_participants`` reads those."""
    return _read(path, known, "ses")


def _read(path: Path, known: Collection[str], entity: str) -> Participants:
    if not path.exists() and not path.is_symlink():
        return Participants()
    try:
        lines = read_lines(path)
        delimiter = next((one for one in DELIMITERS if _id_column(cells_of(lines[:1], one), entity) is not None), None)
        header, *body = cells_of(lines, delimiter or "\t") or [[]]
    except (OSError, csv.Error) as error:
        words = error.strerror if isinstance(error, OSError) else error
        return Participants(warnings=(f"{path.name} cannot be read ({words}).",))
    if delimiter is None:
        return Participants(warnings=(f"{path.name} has no column {ID_COLUMNS[entity]} and is not used.",))
    warnings = []
    if delimiter != "\t":
        warnings.append(f"{path.name} has {DELIMITERS[delimiter]} between its columns; BIDS requires tabs.")
    rows, problems = _rows(header, body, entity)
    rows, more = _with_zeros(rows, known)
    warnings += [f"{path.name}: {kind}: {some_of(names)}." for kind, names in (problems | more).items() if names]
    missing = sorted(set(known) - set(rows))
    if missing:
        warnings.append(f"{path.name} has no row for {some_of(missing)}.")
    return Participants(rows, tuple(warnings))


def cells_of(lines: Sequence[str], delimiter: str = "\t") -> list[list[str]]:
    """The cells of every line; quotation marks around one are removed, and have no other meaning between tabs."""
    if delimiter == "\t":
        rows = [line.split(delimiter) for line in lines]
    else:
        rows = list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))
    return [[cell.strip().strip('"').strip() for cell in row] for row in rows]


def _id_column(rows: Sequence[Sequence[str]], entity: str) -> int | None:
    names = [re.sub(r"[ _-]", "", name).casefold() for row in rows[:1] for name in row]
    wanted = ID_COLUMNS[entity].replace("_", "")
    return names.index(wanted) if wanted in names else None


def _rows(
    header: Sequence[str], body: Sequence[Sequence[str]], entity: str
) -> tuple[dict[str, dict[str, str]], dict[str, list[str]]]:
    """The columns by participant or session, and the problematic names or lines, by problem."""
    at = _id_column([header], entity) or 0
    rows: dict[str, dict[str, str]] = {}
    unclear: list[str] = []
    twice: list[str] = []
    for number, cells in enumerate(body, start=2):
        name = _name(cells[at], entity) if at < len(cells) else ""
        if not name or any(cells[len(header) :]):
            unclear.append(f"line {number}")
            continue
        pairs = [(key, value) for index, (key, value) in enumerate(zip(header, cells, strict=False)) if index != at]
        row = {key: value for key, value in pairs if key and value.casefold() not in NO_VALUE}
        before = rows.setdefault(name, row)
        if before != row:
            twice.append(name)
            rows[name] = {key: value for key, value in (before | row).items() if before.get(key, value) == value}
    unused = "rows that are invalid and not used"
    return rows, {unused: unclear, "more than one row, of which only the matching values are used": twice}


def _name(text: str, entity: str) -> str:
    label = re.sub(f"^{entity}-", "", text, flags=re.IGNORECASE)
    return f"{entity}-{label}" if is_label(label) else ""


def _with_zeros(
    rows: Mapping[str, dict[str, str]], known: Collection[str]
) -> tuple[dict[str, dict[str, str]], dict[str, list[str]]]:
    """The rows with ``sub-1`` renamed to ``sub-01`` where this is unambiguous, and the renamed participants."""
    without_row: dict[int | None, list[str]] = {}
    for one in known:
        if one not in rows:
            without_row.setdefault(_number(one), []).append(one)
    without_row.pop(None, None)
    meant = {name: without_row.get(_number(name), []) for name in rows.keys() - set(known)}
    renamed = {name: found[0] for name, found in meant.items() if len(found) == 1}
    times = Counter(renamed.values())
    clear = {name: renamed[name] for name in rows if times[renamed.get(name, "")] == 1}
    names = [f"{name} for {new}" for name, new in clear.items()]
    return {clear.get(name, name): row for name, row in rows.items()}, {"missing zeros were added": names}


def _number(name: str) -> int | None:
    label = name.partition("-")[2]
    return int(label) if label.isascii() and label.isdigit() else None
