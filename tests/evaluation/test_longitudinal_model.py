"""The mixed model against closed forms, one-way ANOVA and statsmodels; planted effects are found, no others."""

import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats

from haca3_bids.evaluation.random_intercept import fitted, moments
from haca3_bids.evaluation.scatter import exchange_p, reduction, scatter

SEEDS, LEVEL = 200, 0.05


def cohort(seed, people=20, visits=4, between=30.0, residual=5.0, slope=-1.5):
    rng = np.random.default_rng(seed)
    subjects = np.repeat(np.arange(people), visits)
    ages = rng.uniform(40, 80, people)[subjects] + np.tile(np.arange(visits), people)
    level = rng.normal(0, between, people)[subjects]
    return subjects, ages, 600 + slope * ages + level, lambda: rng.normal(0, residual, people * visits)


def anova_icc(table):
    """Shrout and Fleiss's ICC(1,1) of a table (subjects, visits)."""
    count = table.shape[1]
    between = count * table.mean(axis=1).var(ddof=1)
    within = table.var(axis=1, ddof=1).mean()
    return (between - within) / (between + (count - 1) * within)


def test_icc_is_the_one_worked_out_by_hand():
    """Three subjects, (1, 3), (5, 7), (9, 11), and ages that say nothing of the value (sum of products zero).

    Within: sums of squares 2 + 2 + 2, mean square 6 / (6 - 3) = 2. Between: means 2, 6, 10, mean square 2 * 32 / 2 =
    32. Without age: var_b = (32 - 2) / 2 = 15, var_e = 2. Age varies within subjects in the order (0, 0): constant in
    each, and takes (60, 50, 60), whose slope is zero and costs one degree of freedom between subjects:
    mean square 2 * 32 / 1 = 64, var_b = (64 - 2) / 2 = 31, ICC = 31 / 33.
    """
    found = fitted(moments([1, 1, 2, 2, 3, 3], [60, 60, 50, 50, 60, 60], [1, 3, 5, 7, 9, 11]))
    assert found.slope[0] == pytest.approx(0, abs=1e-9)
    assert found.residual[0] == pytest.approx(2, rel=1e-6)
    assert found.icc[0] == pytest.approx(31 / 33, abs=1e-6)


@pytest.mark.parametrize("between", [1.0, 5.0, 30.0])
def test_balanced_icc_is_that_of_one_way_anova(between):
    """The slope is known to be zero by construction: age is made orthogonal, so that only one degree differs."""
    people, visits = 400, 3
    rng = np.random.default_rng(0)
    subjects = np.repeat(np.arange(people), visits)
    values = rng.normal(0, between, people)[subjects] + rng.normal(0, 4, people * visits)
    ages = np.tile([60.0, 61.0, 62.0], people)
    within = values.reshape(people, visits)
    within = within - np.polyval(np.polyfit(ages, values, 1), ages).reshape(people, visits)
    residual_freedom = people * (visits - 1) - 1  # all of the age is within subjects
    mean_within = ((within - within.mean(axis=1, keepdims=True)) ** 2).sum() / residual_freedom
    mean_between = visits * within.mean(axis=1).var(ddof=1)
    expected = (mean_between - mean_within) / (mean_between + (visits - 1) * mean_within)
    found = fitted(moments(subjects, ages, values)).icc[0]
    assert found == pytest.approx(expected, abs=1e-6)
    assert found == pytest.approx(anova_icc(within), abs=1e-3)


@pytest.mark.parametrize("between", [0.3, 2.0, 30.0])
def test_unbalanced_estimates_are_those_of_statsmodels(between):
    subjects, ages, level, noise = cohort(3, between=between)
    values = level + noise()
    kept = np.random.default_rng(1).uniform(size=len(values)) < 0.6
    subjects, ages, values = subjects[kept], ages[kept], values[kept]
    found = fitted(moments(subjects, ages, values))
    frame = pd.DataFrame({"subject": subjects, "age": ages, "value": values})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the variance is at its boundary
        other = smf.mixedlm("value ~ age", frame, groups="subject").fit(reml=True)
    variance = float(other.cov_re.iloc[0, 0])
    assert found.icc[0] == pytest.approx(variance / (variance + other.scale), abs=1e-3)
    assert found.residual[0] == pytest.approx(other.scale, rel=1e-3)
    assert found.slope[0] == pytest.approx(other.params["age"], rel=1e-3)
    assert found.intercept[0] == pytest.approx(other.params["Intercept"], rel=1e-3)


def test_a_weight_is_a_subject_that_occurs_so_often():
    subjects, ages, level, noise = cohort(0, people=5)
    values = level + noise()
    once = moments(subjects, ages, values)
    extra = subjects == 2
    twice = moments(
        np.concatenate([subjects, subjects[extra] + 10]),
        np.concatenate([ages, ages[extra]]),
        np.concatenate([values, values[extra]]),
    )
    weighted = fitted(once, np.array([[1, 1, 2, 1, 1]]))
    assert weighted.icc[0] == pytest.approx(fitted(twice).icc[0], rel=1e-6)
    assert weighted.residual[0] == pytest.approx(fitted(twice).residual[0], rel=1e-6)


def test_intervals_hold_what_was_planted_in_nine_of_ten_cohorts():
    held = np.zeros(3)
    for seed in range(60):
        subjects, ages, level, noise = cohort(seed, people=40)
        found = scatter(subjects, ages, level + noise(), draws=200)
        assert (found.subjects, found.sessions) == (40, 160)
        intervals, truths = (found.slope, found.icc, found.residual), (-1.5, 900 / 925, 25)
        held += [one.low < truth < one.high for one, truth in zip(intervals, truths, strict=True)]
    assert held.min() >= 0.85 * 60
    assert held.max() < 60


def test_the_same_seed_gives_the_same_interval_and_another_one_another():
    subjects, ages, level, noise = cohort(0)
    values = level + noise()
    assert scatter(subjects, ages, values, seed=1) == scatter(subjects, ages, values, seed=1)
    assert scatter(subjects, ages, values, seed=1) != scatter(subjects, ages, values, seed=2)


def test_a_scale_changes_no_icc_and_no_relative_residual():
    subjects, ages, level, noise = cohort(0)
    one = scatter(subjects, ages, values := level + noise())
    half = scatter(subjects, ages, values / 2)
    assert half.icc.value == pytest.approx(one.icc.value)
    assert half.residual_percent == pytest.approx(one.residual_percent)
    assert half.residual.value == pytest.approx(one.residual.value / 4)


def test_a_halved_residual_is_found():
    subjects, ages, level, noise = cohort(0)
    found = reduction(subjects, ages, level + noise(), level + 0.5 * noise())
    assert found.percent.value == pytest.approx(-75, abs=12)
    assert found.percent.high < 0
    assert found.p < 0.01


def test_false_positives_occur_at_the_nominal_rate():
    positives = 0
    for seed in range(SEEDS):
        subjects, ages, level, noise = cohort(seed, people=12, visits=3)
        one, other = (moments(subjects, ages, level + noise()) for _ in range(2))
        positives += exchange_p(one, other, draws=99, seed=seed) <= LEVEL
    low, high = stats.binom(SEEDS, LEVEL).interval(0.99)
    assert low <= positives <= high


def test_nothing_changed_is_no_change():
    subjects, ages, level, noise = cohort(0)
    found = reduction(subjects, ages, values := level + noise(), values)
    assert found.percent.value == pytest.approx(0, abs=1e-6)
    assert found.p == 1


@pytest.mark.parametrize(
    ("subjects", "ages", "values", "sentence"),
    [
        ("aabbcc", [1, 2, 1, 2, 1, 2], [3] * 6, "all values are the same"),
        ("aabbcc", [1] * 6, range(6), "all ages are the same"),
        ("abc", [1, 2, 3], [1, 2, 4], "two sessions of at least one"),
        ("aabb", [1, 2, 3, 4], [1, 2, 4, 3], "three subjects"),
        ("aabbcc", [1, 2, 1, np.nan, 1, 2], range(6), "missing"),
    ],
)
def test_what_cannot_be_fitted_is_said(subjects, ages, values, sentence):
    with pytest.raises(ValueError, match=sentence):
        scatter(list(subjects), ages, list(values))
