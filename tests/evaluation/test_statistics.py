"""Overlap, reliability, travellers and change, against closed forms, brute force and published examples."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from haca3_bids.evaluation.methods import difference_rows, paired, paired_p, person_means
from haca3_bids.evaluation.overlap import dice, dice_by_label
from haca3_bids.evaluation.reliability import reliability
from haca3_bids.evaluation.scatter import change

SHROUT_FLEISS = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]


def test_dice_of_half_overlapping_squares_is_a_half():
    one, other = np.zeros((4, 8), bool), np.zeros((4, 8), bool)
    one[:, :4], other[:, 2:6] = True, True
    assert dice(one, other) == 0.5
    assert dice(one, one) == 1
    assert dice(np.zeros(3, bool), np.zeros(3, bool)) == 1
    with pytest.raises(ValueError, match="differ"):
        dice(one, other[:2])


def test_every_label_of_either_map_has_its_dice():
    one, other = np.array([0, 1, 1, 2]), np.array([1, 1, 0, 3])
    assert dice_by_label(one, other) == {1: 0.5, 2: 0.0, 3: 0.0}


def test_icc_is_that_of_shrout_and_fleiss():
    found = reliability(np.array(SHROUT_FLEISS, float))
    assert found.agreement == pytest.approx(0.29, abs=0.005)
    assert found.consistency == pytest.approx(0.71, abs=0.005)


@pytest.mark.parametrize("seed", range(5))
def test_icc_is_that_of_statsmodels_mean_squares(seed):
    """McGraw and Wong, Psychological Methods 1:30 (1996), from a two-way analysis of variance."""
    anova = pytest.importorskip("statsmodels.api").stats.anova_lm
    ols = pytest.importorskip("statsmodels.formula.api").ols
    rng, n, k = np.random.default_rng(seed), 12, 3
    values = rng.normal(100, 8, (n, 1)) + rng.normal(0, 3, (1, k)) + rng.normal(0, 4, (n, k))
    who, where = np.meshgrid(range(n), range(k), indexing="ij")
    frame = pd.DataFrame({"y": values.ravel(), "who": who.ravel(), "where": where.ravel()})
    fitted = ols("y ~ C(who) + C(where)", frame).fit()
    rows, columns, error = anova(fitted)["mean_sq"][["C(who)", "C(where)", "Residual"]]
    found = reliability(values)
    assert found.consistency == pytest.approx((rows - error) / (rows + (k - 1) * error), abs=1e-3)
    agreement = (rows - error) / (rows + (k - 1) * error + k * (columns - error) / n)
    assert found.agreement == pytest.approx(agreement, abs=1e-3)


def test_equal_values_have_no_icc():
    with pytest.raises(ValueError, match="all values are equal"):
        reliability(np.full((3, 2), 7.0))


def test_a_constant_difference_between_sites_hurts_agreement_and_not_consistency():
    people = np.random.default_rng(0).normal(100, 10, (12, 1))
    found = reliability(people + np.array([[0.0, 8.0, -5.0]]))
    assert found.consistency == pytest.approx(1)
    assert found.agreement < 0.8
    assert found.between_people == pytest.approx(people.std(ddof=1))
    assert found.residual == pytest.approx(0, abs=1e-9)


def test_standard_deviations_are_found_again():
    rng = np.random.default_rng(1)
    table = rng.normal(0, 5, (400, 1)) + rng.normal(0, 2, (400, 6))
    found = reliability(table)
    assert found.between_people == pytest.approx(5, rel=0.1)
    assert found.residual == pytest.approx(2, rel=0.1)
    assert found.agreement == pytest.approx(25 / 29, abs=0.03)


@pytest.mark.parametrize("table", [[[1.0, 2.0]], [[1.0], [2.0]], [[1.0, float("nan")], [1.0, 2.0]]])
def test_a_table_with_gaps_or_one_person_has_no_icc(table):
    with pytest.raises(ValueError, match="at least two"):
        reliability(np.array(table))


def rows(method, shift):
    return [{"participant_id": f"p{i}", "contrast": "T1w", "method": method, "db": 20.0 + i + shift} for i in range(8)]


def test_a_gain_is_the_mean_of_paired_differences_and_its_p_that_of_wilcoxon():
    (found,) = difference_rows([*rows("nothing", 0), *rows("haca3", 3)], ["db"])
    assert (found["people"], found["difference_db"]) == (8, pytest.approx(3))
    assert found["p_db"] == pytest.approx(2 / 2**8)  # eight differences of one sign, two-sided


def test_a_person_with_several_images_counts_once():
    twice = [{"participant_id": "p0", "contrast": "T1w", "method": "m", "db": db} for db in (10.0, 20.0)]
    assert person_means(twice, ("T1w",), "m", "db") == {"p0": 15.0}


def test_no_difference_between_methods_is_found_at_the_nominal_rate():
    rng = np.random.default_rng(0)
    found = np.array([paired_p(rng.normal(size=12)) for _ in range(200)])
    assert 0.01 <= (found < 0.05).mean() <= 0.085  # two standard errors about the exact 0.0425
    planted = np.array([paired_p(rng.normal(1.5, size=12)) for _ in range(50)])
    assert (planted < 0.05).mean() > 0.9


def test_rounding_errors_are_no_difference():
    one = {f"sub-{n}": 0.9 + n / 100 for n in range(9)}
    assert paired({who: value + 1e-9 for who, value in one.items()}, one).p == 1
    assert paired({who: value + 1e-3 for who, value in one.items()}, one).p < 0.01


def test_p_of_no_difference_is_one():
    assert paired_p(np.zeros(5)) == 1
    assert paired_p(np.array([1.0, -1.0, 2.0, -2.0])) > 0.5


@pytest.mark.parametrize("people", [6, 12, 40])
def test_paired_p_is_scipys_and_people_without_both_are_left_out(people):
    rng = np.random.default_rng(people)
    one = {f"p{n}": float(rng.normal(0.5)) for n in range(people)}
    other = {person: float(rng.normal()) for person in [*one, "only here"]}
    found = paired(one | {"only there": 9.0}, other)
    pairs = np.array([(one[person], other[person]) for person in one])
    assert found.people == people
    assert (found.mean, found.mean_baseline) == (pytest.approx(pairs[:, 0].mean()), pytest.approx(pairs[:, 1].mean()))
    assert found.p == pytest.approx(stats.wilcoxon(pairs[:, 0], pairs[:, 1]).pvalue, abs=0.002)
    with pytest.raises(ValueError, match="nobody"):
        paired(one, {})


def test_a_straight_line_has_its_slope_and_no_residual():
    found = change([2010, 2012, 2015], [10.0, 12.0, 15.0])
    assert (found.per_year, found.at_start) == (pytest.approx(1), pytest.approx(10))
    assert found.residual == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="different times"):
        change([1, 1], [2, 3])


def test_scatter_about_the_line_is_found():
    years = np.arange(200) / 10
    values = 3 - 0.5 * years + np.random.default_rng(0).normal(0, 0.7, 200)
    found = change(years, values)
    assert found.per_year == pytest.approx(-0.5, abs=0.03)
    assert found.residual == pytest.approx(0.7, abs=0.1)
