"""The page and the files of an experiment: everything told is on them, nothing is taken for markup."""

from __future__ import annotations

import html

import pytest

from haca3_bids.records.findings import Column, Drawing, Findings, Table, cell, to_tsv
from haca3_bids.reports.charts import dots, lines, panels, svg
from haca3_bids.reports.findings import LONG, findings_page

COLUMNS = (
    Column("person", "Subject"),
    Column("gain", "Gain <over> nothing", "dB", {"0": "no gain"}),
    Column("absent", "Never filled"),
)


def table(rows: int = 2) -> Table:
    return Table(COLUMNS, [{"person": f"sub-<{n}>\t", "gain": 1.2345678 * n if n else None} for n in range(rows)])


def test_a_table_has_the_columns_that_its_rows_have() -> None:
    header, first, second = to_tsv(table()).splitlines()
    assert header == "person\tgain"
    assert first == "sub-<0> \tn/a"
    assert second == "sub-<1> \t1.23457"


def test_a_table_without_rows_has_all_its_columns() -> None:
    assert to_tsv(table(0)) == "person\tgain\tabsent\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.23456, "1.235"), (None, "n/a"), (float("nan"), "n/a"), (float("inf"), "inf"), (12345, "12345"), ("a", "a")],
)
def test_a_cell_is_rounded_to_significant_digits(value: float | str | None, text: str) -> None:
    assert cell(value, 4) == text


def test_the_page_tells_everything_and_takes_nothing_for_markup() -> None:
    figure, (one, other) = panels(["T1w", "T2w"], "dB")
    dots(one, {"before": [1.0, 2.0], "after": [2.0, None]})
    lines(other, [1, 2], {"T1w": [0.5, None]}, "level")
    drawing = Drawing("Gains", svg(figure), caption="One dot per person")
    page = findings_page("trial", Findings("A < B.", {"trial": table()}, [drawing], ["Left out: 1"]), "haca3 x <y>")
    for said in ("A < B.", "Gain <over> nothing (dB).", "no gain", "sub-<1>", "Left out: 1", "One dot per person"):
        assert said in html.unescape(page)
    assert "data:image/svg+xml;base64," in page
    assert "haca3 x &lt;y&gt;" in page
    assert not {"sub-<1>", "<over>", "<y>", "absent"} & set(page.split())
    assert "<summary>2 rows" not in page


def test_a_long_table_is_folded() -> None:
    assert f"<summary>{LONG + 1} rows" in findings_page("x", Findings("", {"x": table(LONG + 1)}), "")


def test_the_same_chart_has_the_same_bytes() -> None:
    made = []
    for _ in range(2):
        figure, (axes,) = panels(["T1w"], "dB")
        dots(axes, {"a": [1.0], "b": [None]})
        made.append(svg(figure))
    assert made[0] == made[1]
