"""Comparison of methods: means over subjects, and paired tests of one method against another.

A row describes one image: ``participant_id``, ``method``, the columns ``by`` that define groups, such as ``contrast``,
and a number for each measure. Several images of a subject are averaged first.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from haca3_bids.records.findings import Value

Row = Mapping[str, Value]
Group = tuple[Value, ...]  # the values of the columns ``by``
BY = ("contrast",)
ROUNDING = 1e-6  # relative; smaller differences are rounding errors of images in single precision


@dataclass(frozen=True)
class Difference:
    """The means of a measure in the same people under two methods."""

    people: int  # with both values
    mean: float
    mean_baseline: float
    p: float  # Wilcoxon's signed-rank test, two-sided


def paired(one: Mapping[str, float], baseline: Mapping[str, float]) -> Difference:
    """Comparison of two methods in the people with values of both; ValueError if there are none."""
    people = [person for person in one if person in baseline]
    if not people:
        raise ValueError("nobody has both numbers")
    x, y = (np.array([values[person] for person in people], np.float64) for values in (one, baseline))
    differences = np.where(np.isclose(x, y, rtol=ROUNDING, atol=0), 0, x - y)
    return Difference(len(people), float(x.mean()), float(y.mean()), paired_p(differences))


def paired_p(differences: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test of paired differences; 1 if all are zero."""
    if not np.any(differences):
        return 1.0
    return float(stats.wilcoxon(differences).pvalue)


def methods_of(rows: Sequence[Row], by: Sequence[str] = BY) -> dict[Group, list[str]]:
    """The methods of every group, in the order of the rows."""
    found: dict[Group, list[str]] = {}
    for row in rows:
        methods = found.setdefault(tuple(row[key] for key in by), [])
        if row["method"] not in methods:
            methods.append(str(row["method"]))
    return found


def person_means(
    rows: Sequence[Row], group: Group, method: str, measure: str, by: Sequence[str] = BY
) -> dict[str, float]:
    """The mean of a measure by person, over the images of a method in a group; people without values are absent."""
    values: dict[str, list[float]] = {}
    for row in rows:
        value = row.get(measure)
        if tuple(row[key] for key in by) == group and row["method"] == method and isinstance(value, float):
            values.setdefault(str(row["participant_id"]), []).append(value)
    return {person: sum(own) / len(own) for person, own in values.items()}


def mean_rows(rows: Sequence[Row], measures: Collection[str], by: Sequence[str] = BY) -> Iterator[dict[str, Value]]:
    """A row for each group and method: the mean of every measure, over the people with all measures that occur."""
    for group, methods in methods_of(rows, by).items():
        for method in methods:
            found = {measure: person_means(rows, group, method, measure, by) for measure in measures}
            known = {measure: values for measure, values in found.items() if values}
            people = _common(known.values())
            row: dict[str, Value] = dict(zip(by, group, strict=True)) | {"method": method, "people": len(people)}
            if people:
                row |= {name: sum(values[one] for one in people) / len(people) for name, values in known.items()}
            yield row


def _common(tables: Iterable[Mapping[str, float]]) -> list[str]:
    """The people in all of the tables."""
    first, *others = list(tables) or [{}]
    return [person for person in first if all(person in other for other in others)]


def difference_rows(
    rows: Sequence[Row], measures: Collection[str], simple: Collection[str] = (), by: Sequence[str] = BY
) -> Iterator[dict[str, Value]]:
    """A row for each method and each earlier one of its group (for ``simple`` methods, the first only).

    The people are those with all measures that occur, for both methods.
    ``difference_<measure>`` is method minus baseline, ``p_<measure>`` is the p-value of Wilcoxon's signed-rank test.
    """
    for group, methods in methods_of(rows, by).items():
        for place, method in enumerate(methods):
            for baseline in methods[: min(place, 1) if method in simple else place]:
                found = {
                    measure: [person_means(rows, group, name, measure, by) for name in (method, baseline)]
                    for measure in measures
                }
                known = {measure: pair for measure, pair in found.items() if all(pair)}
                people = _common(one for pair in known.values() for one in pair)
                row: dict[str, Value] = dict(zip(by, group, strict=True))
                row |= {"method": method, "baseline": baseline, "people": len(people)}
                yield row | _differences(known, people)


def _differences(pairs: Mapping[str, Sequence[Mapping[str, float]]], people: Sequence[str]) -> dict[str, Value]:
    """The columns of the paired tests of every measure."""
    row: dict[str, Value] = {}
    for measure, (one, baseline) in pairs.items() if people else ():
        found = paired({person: one[person] for person in people}, baseline)
        row |= {f"difference_{measure}": found.mean - found.mean_baseline, f"p_{measure}": found.p}
    return row
