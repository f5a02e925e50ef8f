"""Methods side by side: means over people, and paired tests of one method against another.

A row tells of one image: ``participant_id``, ``contrast``, ``method``, and a number for each measure. A person with
several images counts once, with their mean.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from haca3_bids.evaluation.travelling import paired

Cell = float | int | str | None
Row = Mapping[str, Cell]


def methods_of(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Contrast -> its methods, in the order in which they come."""
    found: dict[str, list[str]] = {}
    for row in rows:
        methods = found.setdefault(str(row["contrast"]), [])
        if row["method"] not in methods:
            methods.append(str(row["method"]))
    return found


def person_means(rows: Sequence[Row], contrast: str, method: str, measure: str) -> dict[str, float]:
    """Person -> mean of a measure over his images."""
    values: dict[str, list[float]] = {}
    for row in rows:
        value = row[measure]
        if (row["contrast"], row["method"]) == (contrast, method) and isinstance(value, float):
            values.setdefault(str(row["participant_id"]), []).append(value)
    return {person: sum(own) / len(own) for person, own in values.items()}


def mean_rows(rows: Sequence[Row], measures: Collection[str]) -> Iterator[dict[str, Cell]]:
    """The mean over people of every measure, for each contrast and method."""
    for contrast, methods in methods_of(rows).items():
        for method in methods:
            row: dict[str, Cell] = {"contrast": contrast, "method": method}
            for measure in measures:
                values = list(person_means(rows, contrast, method, measure).values())
                row |= {"people": len(values), measure: sum(values) / len(values) if values else None}
            yield row


def difference_rows(
    rows: Sequence[Row], measures: Collection[str], simple: Collection[str]
) -> Iterator[dict[str, Cell]]:
    """Every method against those before it; ``simple`` methods against the first only.

    ``difference_<measure>`` is method minus baseline, ``p_<measure>`` that of Wilcoxon's signed rank test.
    """
    for contrast, methods in methods_of(rows).items():
        for place, method in enumerate(methods):
            for baseline in methods[: min(place, 1) if method in simple else place]:
                row: dict[str, Cell] = {"contrast": contrast, "method": method, "baseline": baseline}
                for measure in measures:
                    one, other = (person_means(rows, contrast, name, measure) for name in (method, baseline))
                    if set(one) & set(other):
                        found = paired(one, other)
                        row |= {"people": found.people, f"p_{measure}": found.p}
                        row |= {f"difference_{measure}": found.mean - found.mean_baseline}
                yield row
