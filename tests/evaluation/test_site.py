"""Sites: planted differences are found by probes and distances, and none where there is none."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage, optimize, stats
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from haca3_bids.evaluation import site_features, site_probe
from haca3_bids.evaluation.site_probe import (
    DECAY,
    HIDDEN,
    SHRINKAGE,
    design,
    discriminated,
    folds_of,
    linear_probe,
    network_loss,
    network_probe,
    permuted,
    reduced,
)

SEEDS, LEVEL = 200, 0.05


def table(seed, effect, people=24, features=8, travelling=False, images=2):
    """Features of people at two sites: what is typical of the person, of the site, and noise."""
    rng = np.random.default_rng(seed)
    subjects = np.repeat(np.arange(people), images)
    at_b = rng.permutation(people) < people // 2  # if they do not travel
    sites = np.tile([0, 1], people * images // 2) if travelling else at_b[subjects].astype(int)
    own = rng.normal(0, 1, (people, features))[subjects]
    shift = np.where(np.arange(features) < 2, effect, 0)
    return own + rng.normal(0, 0.5, own.shape) + sites[:, None] * shift, design(sites, subjects)


@pytest.mark.parametrize("travelling", [True, False])
def test_a_planted_site_is_told(travelling):
    rows, about = table(0, 4.0, travelling=travelling)
    found = linear_probe(rows, rows, about)
    assert found.accuracy > 0.85
    assert found.low > found.chance == 0.5
    assert found.p == 0.01


def test_a_planted_site_is_told_by_the_network_from_every_seed():
    rows, about = table(0, 4.0, people=12)
    found = network_probe(rows, about, permutations=9)
    assert min(found.by_seed) > 0.8
    assert len(found.by_seed) == 3
    assert found.p == 0.1


def test_a_site_between_other_sites_is_told_by_the_network():
    """Two sites differ in spread, not in mean: no line separates them."""
    rng = np.random.default_rng(0)
    subjects = np.arange(80)
    angle = rng.uniform(0, 2 * np.pi, 80)
    rows = np.stack([np.cos(angle), np.sin(angle)], axis=1) * np.where(subjects % 2, 3, 1)[:, None]
    about = design(subjects % 2, subjects)
    assert network_probe(rows, about, seeds=(0,), permutations=0).accuracy > 0.9
    assert linear_probe(rows, rows, about, permutations=0).accuracy < 0.7


def retrained(rows, about, **options):
    return linear_probe(rows, rows, about, **options)


def mixed(people=9):
    """Images of people at site A only, at site B only, at both sites, and three times at both."""
    sites = [{0: "AA", 1: "BB", 2: "AB"}[person % 3] for person in range(people)] + ["AAB", "ABB"] * 2
    subjects = np.repeat(np.arange(len(sites)), [len(own) for own in sites])
    return design(list("".join(sites)), subjects)


@pytest.mark.parametrize("probe", [retrained, network_probe])
@pytest.mark.parametrize("travelling", [True, False])
def test_permuted_sites_are_treated_like_the_true_ones(probe, travelling):
    """The accuracy of a permutation is the one that is found if the permuted sites are given as the true ones."""
    rows, about = table(0, 1.0, people=8, travelling=travelling)
    found = probe(rows, about, seeds=(0, 1), permutations=4)
    others = [replace(about, sites=order) for order in permuted(about, 4)[1:]]
    own = [probe(rows, other, seeds=(0, 1), permutations=0).accuracy for other in others]
    np.testing.assert_allclose(found.permuted, own)
    assert len(set(own)) > 1


def test_permutations_keep_how_often_people_were_scanned_where():
    about = mixed()
    for order in permuted(about, 20):
        assert sorted(order) == sorted(about.sites)
        per_person = [
            sorted("".join(map(str, sorted(sites[about.subjects == person]))) for person in np.unique(about.subjects))
            for sites in (order, about.sites)
        ]
        assert per_person[0] == per_person[1]


@pytest.mark.parametrize("about", [mixed(), table(0, 0.0, people=9, travelling=True)[1], table(0, 0.0, people=9)[1]])
def test_shared_folds_are_those_of_every_order(about):
    orders, tested = permuted(about, 30), 0
    found = {number: [] for number in range(len(orders))}
    for alike, train, test in folds_of(orders, about, seed=3):
        for number in alike:
            found[number].append((train, test))
    for number, order in enumerate(orders):
        split = StratifiedGroupKFold(about.folds, shuffle=True, random_state=3).split
        for own, other in zip(found[number], split(order, order, about.subjects), strict=True):
            np.testing.assert_array_equal(own[0], other[0])
            np.testing.assert_array_equal(own[1], other[1])
            tested += 1
    assert tested == len(orders) * about.folds


def test_all_orders_of_travelling_subjects_share_their_folds():
    _, about = table(0, 0.0, people=9, travelling=True)
    groups = [len(alike) for alike, _, _ in folds_of(permuted(about, 30), about, seed=0)]
    assert groups == [31] * about.folds


@pytest.mark.parametrize("travelling", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_false_positives_of_the_linear_probe_occur_at_the_nominal_rate(travelling):
    """In people who travelled, and in people of whom each was scanned at one site only."""
    found = []
    for seed in range(SEEDS):
        rows, about = table(seed, 0.0, people=12, travelling=travelling, images=4)
        found.append(linear_probe(rows, rows, about, permutations=19))
    low, high = stats.binom(SEEDS, LEVEL).interval(0.99)
    assert low <= sum(one.p <= LEVEL for one in found) <= high
    assert np.mean([one.accuracy for one in found]) == pytest.approx(0.5, abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("travelling", [True, False])
def test_false_positives_of_the_network_occur_at_the_nominal_rate(travelling):
    values = []
    for seed in range(SEEDS):
        rows, about = table(seed, 0.0, people=12, travelling=travelling, images=4)
        values.append(network_probe(rows, about, seeds=(0, 1), permutations=19).p)
    low, high = stats.binom(SEEDS, LEVEL).interval(0.99)
    assert low <= sum(p <= LEVEL for p in values) <= high


def test_a_frozen_probe_is_fooled_by_a_shift_that_a_retrained_one_sees_through():
    before, about = table(0, 4.0)
    after = before.copy()
    after[:, :2] = after[:, 1::-1] * [1, -1]  # the site is elsewhere, but still there
    frozen, retrained = linear_probe(before, after, about), linear_probe(after, after, about)
    assert frozen.accuracy < 0.7
    assert retrained.accuracy > 0.85


def test_subjects_are_not_told_instead_of_sites():
    """Each person is at one site and unmistakable: a probe that met the person in training would be right."""
    rng = np.random.default_rng(0)
    subjects = np.repeat(np.arange(20), 4)
    rows = rng.normal(0, 1, (20, 6))[subjects] + rng.normal(0, 0.01, (80, 6))
    about = design(subjects % 2, subjects)
    assert linear_probe(rows, rows, about).accuracy < 0.75
    assert network_probe(rows, about, permutations=0).accuracy < 0.75


def test_linear_discriminants_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    labels = np.stack([rng.permutation(np.repeat([0, 1, 2], 20)) for _ in range(5)])
    rows, tried = rng.normal(0, 1, (60, 4)), rng.normal(0, 1, (200, 4))
    found = discriminated(rows - rows.mean(axis=0), labels, tried - rows.mean(axis=0), 3)
    for own, guess in zip(labels, found, strict=True):
        other = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=SHRINKAGE, priors=[1 / 3] * 3).fit(rows, own)
        np.testing.assert_array_equal(guess, other.predict(tried))


def test_the_loss_of_the_network_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(0, 1, (30, 4)), np.arange(30) % 3
    other = MLPClassifier(HIDDEN, "tanh", solver="lbfgs", alpha=DECAY, random_state=0, max_iter=2000).fit(rows, labels)
    layers = [part for pair in zip(other.coefs_, other.intercepts_, strict=True) for part in pair]
    loss, slope = network_loss(np.concatenate([part.ravel() for part in layers]), rows, np.eye(3)[labels])
    penalty = DECAY / 2 / 30 * sum(np.square(weights).sum() for weights in other.coefs_)
    assert loss == pytest.approx(log_loss(labels, other.predict_proba(rows)) + penalty)
    assert np.abs(slope).max() < 1e-3  # a minimum of theirs is one of ours


def test_the_gradient_of_the_network_is_that_of_its_loss():
    rng = np.random.default_rng(0)
    rows, truth = rng.normal(0, 1, (12, 4)), np.eye(3)[np.arange(12) % 3]
    weights = rng.normal(0, 1, 5 * HIDDEN + (HIDDEN + 1) * 3)
    error = optimize.check_grad(
        *(lambda at, part=part: network_loss(at, rows, truth)[part] for part in (0, 1)), weights
    )
    assert error < 1e-5


def test_trainings_that_do_not_converge_are_counted(monkeypatch):
    rows, about = table(0, 1.0, people=8, travelling=True)
    found = network_probe(rows, about, permutations=1)
    assert (found.unconverged, found.trainings) == (0, 3 * about.folds)
    monkeypatch.setattr(site_probe, "ITERATIONS", 2)
    assert network_probe(rows, about, permutations=1).unconverged == 3 * about.folds  # the permutation does not count


def test_a_feature_that_is_constant_in_training_says_nothing():
    rows, about = np.zeros((16, 1)), table(0, 0.0, people=8, travelling=True)[1]
    rows[3] = 1  # in one image only
    for probe in (retrained, network_probe):
        assert 0.4 < probe(rows, about, seeds=(0,), permutations=0).accuracy < 0.7


@pytest.mark.parametrize("features", [15, 40])
def test_components_are_those_of_scikit_learn(features):
    rng = np.random.default_rng(0)
    rows, tried = rng.normal(3, 2, (20, features)), rng.normal(3, 2, (7, features))
    rows[:, 4] = tried[:, 4] = 1e3 / 3
    scale = StandardScaler().fit(rows)
    other = PCA(10, whiten=True, svd_solver="full").fit(scale.transform(rows))
    for found, table in zip(reduced(rows, tried), (rows, tried), strict=True):
        expected = other.transform(scale.transform(table)) * np.sqrt(20 / 19)
        np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-6)


def test_a_rare_site_is_told_as_well_as_a_frequent_one():
    rng = np.random.default_rng(0)
    subjects = np.arange(60)
    sites = (subjects < 10).astype(int)
    rows = rng.normal(0, 1, (60, 3)) + 3 * sites[:, None]
    assert linear_probe(rows, rows, design(sites, subjects)).accuracy > 0.9


@pytest.mark.parametrize(
    ("sites", "subjects", "sentence"),
    [("AAAA", "1234", "two sites are needed, found 1"), ("AAAB", "1234", "two subjects of each site.*one of B")],
)
def test_too_few_sites_or_subjects_are_a_sentence(sites, subjects, sentence):
    with pytest.raises(ValueError, match=sentence):
        design(list(sites), list(subjects))


@pytest.fixture
def ball():
    x, y, z = np.indices((32, 32, 32)) - 15.5
    region = x**2 + y**2 + z**2 < 150
    texture = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal(region.shape), 1)
    return (500 + 300 * texture).astype(np.float32), region


def test_features_do_not_know_the_unit_and_know_blur(ball):
    image, region = ball
    found = site_features.intensity_features(image, region)
    np.testing.assert_allclose(site_features.intensity_features(7 * image, region), found, rtol=1e-5)
    blurred = site_features.intensity_features(ndimage.gaussian_filter(image, 1.5), region)
    assert (blurred[-3:] < found[-3:]).all()


def test_a_coarse_copy_is_the_mean_of_blocks(ball):
    image, region = ball
    found = site_features.coarse_copy(image, region).reshape(4, 4, 4)
    unit = np.percentile(image[region], 95)
    inside = np.where(region, image, 0)[8:16, 16:24, 8:16]
    assert found[1, 2, 1] == pytest.approx(inside.mean() / unit, rel=1e-5)


def test_distance_of_sites_is_the_shift_between_them():
    rows = np.tile(np.linspace(0, 1, 200), (6, 1)) + np.repeat([0.0, 0.3, 0.3], 2)[:, None]
    assert site_features.site_distance(rows, list("AABBCC")) == pytest.approx(0.2)  # 0.3, 0.3 and 0
    assert site_features.site_distance(rows[2:], list("BBCC")) == pytest.approx(0)


def test_overlap_of_histograms_is_one_of_equals_and_zero_of_strangers(ball):
    image, region = ball
    same = np.stack([site_features.histogram(image, region, region)] * 2)
    assert site_features.histogram_overlap(same, ["A", "B"]) == pytest.approx(1)
    apart = np.zeros((2, 100))
    apart[0, 3] = apart[1, 50] = 1
    assert site_features.histogram_overlap(apart, ["A", "B"]) == 0


def test_silhouette_is_high_of_clusters_and_low_without():
    rng = np.random.default_rng(0)
    rows, sites = rng.normal(0, 1, (40, 3)), ["A", "B"] * 20
    assert abs(site_features.silhouette(rows, sites)) < 0.1
    rows[::2] += 10
    assert site_features.silhouette(rows, sites) > 0.7
