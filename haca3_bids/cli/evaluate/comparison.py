"""Shared parts of comparisons of methods: columns, and charts with one dot per subject."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from haca3_bids.records.findings import Column, Drawing

if TYPE_CHECKING:
    from haca3_bids.evaluation.methods import Row

CONTRAST = Column("contrast", "Contrast of the images")
METHOD = Column("method", "Method that made the images; unharmonized: preprocessing only")
PEOPLE = Column("people", "Number of subjects")
BASELINE = Column("baseline", "Method that it is compared with")
END = "end of the 95 % interval, from a bootstrap over subjects"
ONE_DOT = "One dot per subject, those of a subject joined; bars: medians."


def tested(measures: Mapping[str, str]) -> Iterator[Column]:
    """The columns of a paired test of every measure, given short descriptions by column name."""
    for name, words in measures.items():
        yield Column(f"difference_{name}", f"{words}: mean difference, method minus baseline")
        yield Column(f"p_{name}", f"{words}: p of the two-sided Wilcoxon signed-rank test over subjects")


def with_interval(name: str, description: str) -> Iterator[Column]:
    """The columns of an estimate and of the ends of its interval."""
    yield Column(name, description)
    yield from interval_of(name)


def interval_of(name: str) -> Iterator[Column]:
    """The columns of the ends of an interval."""
    yield Column(f"{name}_low", f"Lower {END}")
    yield Column(f"{name}_high", f"Upper {END}")


def estimate(row: Row, name: str) -> tuple[float, float, float]:
    """An estimate in a row, and the ends of its interval; 0 for a missing number."""
    value, low, high = (float(row.get(key) or 0) for key in (name, f"{name}_low", f"{name}_high"))
    return value, low, high


def smallest_p(people: int) -> str:
    """A note on the smallest possible p-value and on multiple tests."""
    least = min(1.0, 2.0 ** (1 - people))
    return (
        f"With {people} subject{'s' * (people != 1)} no p can be smaller than {least:.2g}; p is not corrected for "
        "multiple tests."
    )


def dot_charts(rows: Sequence[Row], measures: Mapping[str, str], by: Sequence[str] = ("contrast",)) -> list[Drawing]:
    """A figure for each measure with values, with a panel for each group and a column for each method."""
    from haca3_bids.evaluation.methods import methods_of, person_means
    from haca3_bids.reports.charts import dots, panels, svg

    made = []
    for measure, words in measures.items():
        known = [row for row in rows if row.get(measure) is not None]
        groups = methods_of(known, by)
        if not groups:
            continue
        figure, axes = panels([" ".join(map(str, group)) for group in groups], words, columns=3)
        for one, (group, methods) in zip(axes, groups.items(), strict=True):
            own = {method: person_means(known, group, method, measure, by) for method in methods}
            people = list(dict.fromkeys(person for values in own.values() for person in values))
            dots(one, {name: [values.get(person) for person in people] for name, values in own.items()})
        made.append(Drawing(words, svg(figure), caption=ONE_DOT))
    return made
