"""Classifiers of the site of an image, cross-validated by subject.

A classifier that is trained before harmonization and fails afterwards (frozen) does not show that site effects are
removed: one trained on harmonized images may still identify the site.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import beta
from sklearn.model_selection import StratifiedGroupKFold

from haca3_bids.arrays import Mask

Table = NDArray[np.float64]
Labels = NDArray[np.int_]
# Given training images, labellings, test images and a seed: predicted classes (labellings, test images) and whether
# each training failed to converge.
Classifier = Callable[[Table, Labels, Table, int], tuple[Labels, Mask]]

FOLDS = 5
COMPONENTS = 10  # largest number of principal components
SHRINKAGE = 0.1  # shrinkage of the covariance of the linear classifier towards a multiple of the identity
HIDDEN, DECAY = 16, 1.0  # units and L2 penalty of the network
ITERATIONS, TOLERANCE = 1000, 5e-4  # of L-BFGS: largest number, and gradient at convergence
LEAST, FLAT = 1e-9, 1e-6  # relative spread of a feature, and of a component, below which it is constant
KNOWN = 10_000  # folds that are kept in memory, since all tables of a data set need the same
COVERAGE = 0.95


@dataclass(frozen=True)
class Design:
    """The site and subject (integer codes) of each image, and the number of folds."""

    sites: Labels
    subjects: Labels
    folds: int

    @property
    def count(self) -> int:
        """Number of sites."""
        return int(self.sites.max()) + 1


@dataclass(frozen=True)
class Guessed:
    """The balanced accuracy of a classifier of the site: the mean over sites of the recall."""

    accuracy: float  # mean over seeds
    low: float  # 95 % interval (Clopper and Pearson); the sample size is the number of subjects
    high: float
    chance: float
    p: float  # one-sided, permutation
    by_seed: tuple[float, ...]
    permuted: tuple[float, ...]  # accuracies for permuted sites, each the mean over the same seeds
    trainings: int  # seeds times folds
    unconverged: int  # trainings that reached ITERATIONS, or failed otherwise


def design(sites: Sequence[str], subjects: Sequence[str]) -> Design:
    """The design of a data set; ValueError if there are too few sites or subjects for cross-validation."""
    names, site = np.unique(np.asarray(sites), return_inverse=True)
    _, subject = np.unique(np.asarray(subjects), return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"two sites are needed, found {len(names)}")
    people = [len(np.unique(subject[site == number])) for number in range(len(names))]
    if min(people) < 2:
        raise ValueError(f"two subjects of each site are needed, found one of {names[int(np.argmin(people))]}")
    return Design(site, subject, min(FOLDS, *people))


def linear_probe(
    trained_on: Table, tried_on: Table, about: Design, seeds: Sequence[int] = (0,), permutations: int = 99
) -> Guessed:
    """Accuracy of a linear classifier trained on one table of features (images, features) and tested on another.

    Both tables have the same images in the same order (and are the same unless the classifier is frozen). No subject is
    in both the training and the test part of a fold; seeds determine the folds.
    """
    orders = permuted(about, permutations)
    return _guessed(*_tried(trained_on, tried_on, about, orders, seeds, partial(_linear, about.count)), about)


def network_probe(features: Table, about: Design, seeds: Sequence[int] = (0, 1, 2), permutations: int = 99) -> Guessed:
    """Accuracy of a network with one hidden layer, trained with L-BFGS; seeds determine initial weights and folds."""
    orders = permuted(about, permutations)
    return _guessed(*_tried(features, features, about, orders, seeds, partial(_network, about.count)), about)


def _tried(
    trained_on: Table, tried_on: Table, about: Design, orders: Labels, seeds: Sequence[int], classifier: Classifier
) -> tuple[Table, Labels]:
    """Balanced accuracy, and number of trainings that did not converge, (seeds, orders) for labels (orders, images).

    All labels are treated alike, so that they are exchangeable under the null hypothesis.
    """
    scores, failures = np.empty((len(seeds), len(orders))), np.zeros((len(seeds), len(orders)), np.int_)
    for number, seed in enumerate(seeds):
        guesses = np.empty_like(orders)
        for alike, train, test in folds_of(orders, about, seed):
            rows, tried = reduced(trained_on[train], tried_on[test])
            guesses[np.ix_(alike, test)], failed = classifier(rows, orders[np.ix_(alike, train)], tried, seed)
            failures[number, alike] += failed
        scores[number] = [_balanced(guess, order) for guess, order in zip(guesses, orders, strict=True)]
    return scores, failures


def _guessed(scores: Table, failures: Labels, about: Design) -> Guessed:
    """Estimates from ``_tried``; the first labels are the true ones."""
    own, null = scores[:, 0], scores[:, 1:].mean(axis=0)
    accuracy, people = float(own.mean()), len(np.unique(about.subjects))
    right, tail = accuracy * people, (1 - COVERAGE) / 2
    low = float(beta.ppf(tail, right, people - right + 1)) if right > 0 else 0.0
    high = float(beta.ppf(1 - tail, right + 1, people - right)) if right < people else 1.0
    p = (1 + int((null >= accuracy - 1e-9).sum())) / (1 + len(null)) if len(null) else float("nan")
    return Guessed(
        accuracy,
        low,
        high,
        1 / about.count,
        p,
        by_seed=tuple(own.tolist()),
        permuted=tuple(null.tolist()),
        trainings=len(own) * about.folds,
        unconverged=int(failures[:, 0].sum()),
    )


def _linear(classes: int, rows: Table, labels: Labels, tried: Table, _: int) -> tuple[Labels, Mask]:
    return discriminated(rows, labels, tried, classes), np.zeros(len(labels), np.bool_)


def discriminated(rows: Table, labels: Labels, tried: Table, classes: int) -> Labels:
    """Linear discriminant analysis with equal priors, for many labellings of ``rows`` at once.

    ``labels`` is (labellings, images); returns the predicted classes (labellings, tried images) of ``tried``.
    """
    belongs = np.eye(classes)[labels]  # labellings, images, classes
    counts = np.maximum(belongs.sum(axis=1), 1)
    means = np.einsum("pnc,nf->pcf", belongs, rows) / counts[:, :, None]
    between = np.einsum("pc,pcf,pcg->pfg", counts, means, means)
    within = (rows.T @ rows - between) / len(rows)
    size = np.trace(within, axis1=1, axis2=2)[:, None, None] / max(rows.shape[1], 1)
    within = (1 - SHRINKAGE) * within + (SHRINKAGE * size + 1e-9) * np.eye(rows.shape[1])
    directions = np.linalg.solve(within, np.swapaxes(means, 1, 2))  # labellings, features, classes
    offsets = np.einsum("pcf,pfc->pc", means, directions) / 2
    scores = np.einsum("tf,pfc->ptc", tried, directions) - offsets[:, None, :]
    return np.asarray(scores.argmax(axis=2))


def _network(classes: int, rows: Table, labels: Labels, tried: Table, seed: int) -> tuple[Labels, Mask]:
    guesses, failed = np.empty((len(labels), len(tried)), np.int_), np.zeros(len(labels), np.bool_)
    start, options = _initial(rows.shape[1], classes, seed), {"maxiter": ITERATIONS, "gtol": TOLERANCE}
    for number, own in enumerate(labels):
        found = minimize(network_loss, start, (rows, np.eye(classes)[own]), "L-BFGS-B", jac=True, options=options)
        _, scores = network_scores(found.x, tried, classes)
        guesses[number], failed[number] = scores.argmax(axis=1), not found.success
    return guesses, failed


def _initial(features: int, classes: int, seed: int) -> Table:
    """Random weights of both layers (Glorot and Bengio, 2010)."""
    rng, sizes = np.random.default_rng(seed), (features, HIDDEN, classes)
    layers = [rng.uniform(-1, 1, (one + 1) * other) * np.sqrt(6 / (one + other)) for one, other in pairwise(sizes)]
    return np.concatenate(layers)


def network_scores(weights: Table, rows: Table, classes: int) -> tuple[Table, Table]:
    """Hidden units (rows, HIDDEN) and scores (rows, classes) of a network with one hidden layer.

    ``weights`` are those of the hidden layer, its biases, those of the output layer and its biases.
    """
    first, second = _layers(weights, rows.shape[1], classes)
    hidden = np.tanh(rows @ first[:-1] + first[-1])
    return hidden, hidden @ second[:-1] + second[-1]


def network_loss(weights: Table, rows: Table, truth: Table) -> tuple[float, Table]:
    """Mean cross-entropy with L2 penalty (as in scikit-learn), and its gradient; ``truth`` is 1 for the true class."""
    shape = rows.shape[1], truth.shape[1]
    hidden, scores = network_scores(weights, rows, shape[1])
    scores -= scores.max(axis=1, keepdims=True)
    powers = np.exp(scores)
    totals = powers.sum(axis=1, keepdims=True)
    gradient = np.zeros_like(weights)
    (first, second), (first_slope, second_slope) = _layers(weights, *shape), _layers(gradient, *shape)
    wrong = powers / totals - truth
    back = wrong @ second[:-1].T * (1 - hidden**2)
    first_slope[:-1], first_slope[-1] = rows.T @ back + DECAY * first[:-1], back.sum(axis=0)
    second_slope[:-1], second_slope[-1] = hidden.T @ wrong + DECAY * second[:-1], wrong.sum(axis=0)
    loss = np.log(totals).sum() - (scores * truth).sum()
    penalty = DECAY / 2 * (np.square(first[:-1]).sum() + np.square(second[:-1]).sum())
    return float(loss + penalty) / len(rows), gradient / len(rows)


def _layers(weights: Table, features: int, classes: int) -> tuple[Table, Table]:
    """Both layers as views, (features + 1, HIDDEN) and (HIDDEN + 1, classes), with the biases in their last row."""
    end = (features + 1) * HIDDEN
    return weights[:end].reshape(-1, HIDDEN), weights[end:].reshape(-1, classes)


def reduced(rows: Table, tried: Table) -> tuple[Table, Table]:
    """Principal components, with unit variance, of the standardized features of ``rows`` and ``tried``.

    All parameters are estimated from ``rows``. Constant features and components are left out.
    """
    mean, spread = rows.mean(axis=0), rows.std(axis=0)
    varies = spread > LEAST * np.maximum(np.abs(mean), 1)
    unit, other = ((table[:, varies] - mean[varies]) / spread[varies] for table in (rows, tried))
    sizes, axes = _components(unit)
    scale = np.sqrt(len(rows)) / sizes
    return unit @ axes.T * scale, other @ axes.T * scale


def _components(unit: Table) -> tuple[Table, Table]:
    """The largest singular values (components,) of a table and its right singular vectors (components, features)."""
    tall = len(unit) >= unit.shape[1]
    squares, vectors = np.linalg.eigh(unit.T @ unit if tall else unit @ unit.T)  # the smaller of the two is faster
    sizes = np.sqrt(np.maximum(squares[::-1][:COMPONENTS], 0))
    kept = sizes > FLAT * sizes.max(initial=0)
    sizes, vectors = sizes[kept], vectors[:, ::-1][:, :COMPONENTS][:, kept]
    return sizes, vectors.T if tall else vectors.T @ unit / sizes[:, None]


def folds_of(orders: Labels, about: Design, seed: int) -> Iterator[tuple[Labels, Labels, Labels]]:
    """Folds stratified by the labels (orders, images): numbers of orders with the same folds, training and test images.

    Folds depend only on the number of images of each label per subject, so that they are the same for all orders if
    every subject was scanned at every site.
    """
    counts = np.eye(about.subjects.max() + 1)[about.subjects].T @ np.eye(about.count)[orders]  # orders, subjects, sites
    _, kinds = np.unique(counts.reshape(len(orders), -1), axis=0, return_inverse=True)
    for kind in range(kinds.max() + 1):
        alike = np.flatnonzero(kinds == kind)
        for train, test in _folds(orders[alike[0]].tobytes(), about.subjects.tobytes(), about.folds, seed):
            yield alike, train, test


@lru_cache(KNOWN)
def _folds(labels: bytes, subjects: bytes, folds: int, seed: int) -> Sequence[tuple[Labels, Labels]]:
    split: Callable[..., Iterator[tuple[Labels, Labels]]] = StratifiedGroupKFold(
        folds, shuffle=True, random_state=seed
    ).split
    sites, people = (np.frombuffer(codes, np.int_) for codes in (labels, subjects))
    return list(split(sites[:, None], sites, people))


def _balanced(guess: Labels, truth: Labels) -> float:
    return float(np.mean([(guess[truth == site] == site).mean() for site in np.unique(truth)]))


def permuted(about: Design, permutations: int) -> Labels:
    """Permutations of the labels (1 + permutations, images) under the null hypothesis; the first is the given one.

    Sites are permuted within subjects, and between subjects with the same number of images.
    """
    rng = np.random.default_rng(0)
    orders = np.tile(about.sites, (1 + permutations, 1))
    images = [np.flatnonzero(about.subjects == subject) for subject in np.unique(about.subjects)]
    for order in orders[1:]:
        for size in {len(one) for one in images}:
            alike = np.stack([one for one in images if len(one) == size])
            order[alike] = rng.permuted(about.sites[rng.permutation(alike)], axis=1)
    return orders
