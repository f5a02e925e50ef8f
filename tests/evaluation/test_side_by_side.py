"""Means and tests of methods: the person is the unit, and p is SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from haca3_bids.evaluation.methods import Row, difference_rows, mean_rows, methods_of

PEOPLE = 9


@pytest.fixture
def rows() -> list[Row]:
    """Two images of each person by three methods, the second of which lacks a person."""
    rng = np.random.default_rng(0)
    return [
        {"participant_id": f"p{person}", "contrast": contrast, "method": method, "db": float(rng.normal(gain))}
        for contrast in ("T1w", "T2w")
        for method, gain in (("scan", 0), ("simple", 1), ("ours", 2))
        for person in range(PEOPLE - (method == "simple"))
        for _ in range(2)
    ]


def people(rows: list[Row], contrast: str, method: str) -> np.ndarray:
    own = [row for row in rows if (row["contrast"], row["method"]) == (contrast, method)]
    return np.array([row["db"] for row in own]).reshape(-1, 2).mean(axis=1)


def test_a_person_counts_once_and_methods_stay_in_order(rows: list[Row]) -> None:
    assert methods_of(rows) == {(contrast,): ["scan", "simple", "ours"] for contrast in ("T1w", "T2w")}
    for row in mean_rows(rows, ["db"]):
        own = people(rows, str(row["contrast"]), str(row["method"]))
        assert (row["people"], row["db"]) == (len(own), pytest.approx(own.mean()))


def test_differences_are_paired_and_tested_as_by_scipy(rows: list[Row]) -> None:
    found = list(difference_rows(rows, ["db"], simple=["simple"]))
    pairs = [(row["contrast"], row["method"], row["baseline"]) for row in found]
    expected = [("simple", "scan"), ("ours", "scan"), ("ours", "simple")]
    assert pairs == [(contrast, *pair) for contrast in ("T1w", "T2w") for pair in expected]
    for row in found:
        one, other = (people(rows, str(row["contrast"]), str(row[key])) for key in ("method", "baseline"))
        both = min(len(one), len(other))
        assert row["people"] == both
        assert row["difference_db"] == pytest.approx((one[:both] - other[:both]).mean())
        assert row["p_db"] == pytest.approx(stats.wilcoxon(one[:both], other[:both]).pvalue)


def test_people_are_those_with_all_measures(rows: list[Row]) -> None:
    """Otherwise the number of people would be that of another measure."""
    split: list[Row] = [
        dict(row) | ({"mm": 1.0} if row["participant_id"] in ("p0", "p1", "p2") else {}) for row in rows
    ]
    for row in (*mean_rows(split, ["db", "mm"]), *difference_rows(split, ["db", "mm"])):
        assert row["people"] == 3
    test = next(difference_rows(split, ["db", "mm"]))
    one, other = (people(rows, "T1w", method)[:3] for method in ("simple", "scan"))
    assert test["difference_db"] == pytest.approx((one - other).mean())


def test_rows_can_be_kept_apart_by_several_columns_and_unknown_numbers_are_passed_over(rows: list[Row]) -> None:
    by = ("contrast", "tissue")
    split: list[Row] = [
        dict(row) | {"tissue": tissue, "db": None if tissue == "WM" else row["db"]}
        for row in rows
        for tissue in ("GM", "WM")
    ]
    found = list(mean_rows(split, ["db"], by))
    assert [row for row in found if row["tissue"] == "GM" and "db" not in row] == []
    assert all("db" not in row for row in found if row["tissue"] == "WM")
    assert len(list(difference_rows(split, ["db"], by=by))) == 2 * 2 * 3


def test_simple_methods_are_compared_with_the_first_only(rows: list[Row]) -> None:
    found = list(difference_rows(rows, ["db"], simple=["simple", "ours"]))
    assert {row["baseline"] for row in found} == {"scan"}
