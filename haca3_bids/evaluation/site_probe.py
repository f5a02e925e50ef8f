"""Classifiers of the site of an image, cross-validated by subject.

A classifier that is trained before harmonization and fails afterwards (frozen) does not show that site effects are
removed: one trained on harmonized images may still identify the site.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.neural_network import MLPClassifier

Table = NDArray[np.float64]
Labels = NDArray[np.int_]

FOLDS = 5
COMPONENTS = 10  # largest number of principal components
SHRINKAGE = 0.1  # shrinkage of the covariance of the linear classifier towards a multiple of the identity
HIDDEN, DECAY = (16,), 1e-2  # layer widths and L2 penalty of the network
ITERATIONS, TOLERANCE = 300, 1e-3  # of L-BFGS: largest number, and gradient at convergence
LEAST = 1e-9  # relative spread of a feature or component below which it is constant
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
    orders = _permuted(about, permutations)
    scores = np.stack([_linear_scores(trained_on, tried_on, about, orders, seed) for seed in seeds])
    return _guessed(scores[:, 0], scores[:, 1:].mean(axis=0), about)


def network_probe(features: Table, about: Design, seeds: Sequence[int] = (0, 1, 2), permutations: int = 99) -> Guessed:
    """Accuracy of a network with one hidden layer, trained with L-BFGS; seeds determine weights and folds.

    Each permutation has a single seed, which makes p conservative.
    """
    own = [_network_score(features, about, about.sites, seed) for seed in seeds]
    orders = _permuted(about, permutations)[1:]
    null = [_network_score(features, about, order, 1000 + number) for number, order in enumerate(orders)]
    return _guessed(np.array(own), np.array(null), about)


def _guessed(own: Table, null: Table, about: Design) -> Guessed:
    accuracy, people = float(own.mean()), len(np.unique(about.subjects))
    right, tail = accuracy * people, (1 - COVERAGE) / 2
    low = float(beta.ppf(tail, right, people - right + 1)) if right > 0 else 0.0
    high = float(beta.ppf(1 - tail, right + 1, people - right)) if right < people else 1.0
    p = (1 + int((null >= accuracy - 1e-9).sum())) / (1 + len(null)) if len(null) else float("nan")
    return Guessed(accuracy, low, high, 1 / about.count, p, tuple(float(one) for one in own))


def _linear_scores(trained_on: Table, tried_on: Table, about: Design, orders: Labels, seed: int) -> Table:
    """Balanced accuracy (orders,) for each permutation of the labels (orders, images)."""
    guesses = np.empty_like(orders)
    for train, test in _folds(about, seed):
        rows, tried = reduced(trained_on[train], tried_on[test])
        guesses[:, test] = discriminated(rows, orders[:, train], tried, about.count)
    return np.array([_balanced(guess, order) for guess, order in zip(guesses, orders, strict=True)])


def discriminated(rows: Table, labels: Labels, tried: Table, classes: int) -> Labels:
    """Linear discriminant analysis with equal priors, for many labellings of ``rows`` at once.

    ``labels`` is (labellings, images); returns the predicted classes (labellings, tried images) of ``tried``.
    """
    belongs = np.eye(classes)[labels]  # labellings, images, classes
    counts = np.maximum(belongs.sum(axis=1), 1)
    means = np.einsum("pnc,nf->pcf", belongs, rows) / counts[:, :, None]
    between = np.einsum("pc,pcf,pcg->pfg", counts, means, means)
    within = (rows.T @ rows - between) / len(rows)
    size = np.trace(within, axis1=1, axis2=2)[:, None, None] / rows.shape[1]
    within = (1 - SHRINKAGE) * within + (SHRINKAGE * size + 1e-9) * np.eye(rows.shape[1])
    directions = np.linalg.solve(within, np.swapaxes(means, 1, 2))  # labellings, features, classes
    offsets = np.einsum("pcf,pfc->pc", means, directions) / 2
    scores = np.einsum("tf,pfc->ptc", tried, directions) - offsets[:, None, :]
    return np.asarray(scores.argmax(axis=2))


def _network_score(features: Table, about: Design, labels: Labels, seed: int) -> float:
    guesses = np.empty_like(labels)
    for train, test in _folds(about, seed):
        network = MLPClassifier(
            HIDDEN, solver="lbfgs", alpha=DECAY, max_iter=ITERATIONS, tol=TOLERANCE, random_state=seed
        )
        rows, tried = reduced(features[train], features[test])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            guesses[test] = network.fit(rows, labels[train]).predict(tried)
    return _balanced(guesses, labels)


def reduced(rows: Table, tried: Table) -> tuple[Table, Table]:
    """Principal components, with unit variance, of the standardized features of ``rows`` and ``tried``.

    All parameters are estimated from ``rows``. Constant features and components are left out.
    """
    mean, spread = rows.mean(axis=0), rows.std(axis=0)
    varies = spread > LEAST * np.maximum(np.abs(mean), 1)
    unit, other = ((table[:, varies] - mean[varies]) / spread[varies] for table in (rows, tried))
    _, sizes, axes = np.linalg.svd(unit, full_matrices=False)
    kept = axes[:COMPONENTS][sizes[:COMPONENTS] > LEAST * sizes.max(initial=0)]
    scale = np.sqrt(len(rows)) / sizes[: len(kept)]
    return unit @ kept.T * scale, other @ kept.T * scale


def _folds(about: Design, seed: int) -> Iterator[tuple[Labels, Labels]]:
    split: Callable[..., Iterator[tuple[Labels, Labels]]] = StratifiedGroupKFold(
        about.folds, shuffle=True, random_state=seed
    ).split
    return split(about.sites[:, None], about.sites, about.subjects)


def _balanced(guess: Labels, truth: Labels) -> float:
    return float(np.mean([(guess[truth == site] == site).mean() for site in np.unique(truth)]))


def _permuted(about: Design, permutations: int) -> Labels:
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
