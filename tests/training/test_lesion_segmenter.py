"""The lesion segmenter: it learns bright balls in seconds, repeats itself, and sees what it should."""

import numpy as np
import pytest
import torch

from haca3_bids.evaluation.overlap import dice
from haca3_bids.training.lesions import Case, Segmenter, segmented, standardized, trained

pytest.importorskip("monai")
SETTING = Segmenter(steps=80, base=4, patch=32, batch=1)


def case(seed, size=32, contrast=6.0):
    """A brain of noise with bright balls."""
    rng = np.random.default_rng(seed)
    grid = np.indices((size, size + 2, size - 2))
    lesions = np.zeros(grid.shape[1:], bool)
    for _ in range(4):
        centre = rng.integers(5, size - 7, 3)
        lesions |= ((grid - centre[:, None, None, None]) ** 2).sum(axis=0) < 7
    image = rng.normal(100, 10, lesions.shape) + 10 * contrast * lesions
    brain = np.ones(lesions.shape, bool)
    brain[:2] = False
    return Case(standardized([image.astype(np.float32)], brain), lesions & brain)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return trained([case(n) for n in range(3)], SETTING, tmp_path_factory.mktemp("run"))


@pytest.mark.slow
def test_lesions_of_unseen_people_are_found_and_others_with_less_contrast_are_not(network):
    seen, faint = case(10), case(10, contrast=0.3)
    found = segmented(network, seen.images, SETTING)
    assert found.shape == seen.lesions.shape
    assert dice(found, seen.lesions) > 0.7
    assert dice(segmented(network, faint.images, SETTING), faint.lesions) < 0.4


@pytest.mark.slow
def test_nothing_is_found_outside_the_brain(network):
    images = case(10).images.copy()
    images[:, :8] = 0
    assert not segmented(network, images, SETTING)[:8].any()


def test_the_same_seed_gives_the_same_network_and_a_resumed_run_too(tmp_path):
    cases, setting = [case(n) for n in range(2)], Segmenter(steps=3, base=2, patch=32)
    networks = [trained(cases, setting, tmp_path / name) for name in ("one", "other", "other")]
    for one, other, again in zip(*(network.parameters() for network in networks), strict=True):
        torch.testing.assert_close(one, other)
        torch.testing.assert_close(one, again)


def test_small_images_are_padded_to_a_patch(tmp_path):
    images = np.random.default_rng(0).normal(0, 1, (1, 10, 9, 8)).astype(np.float32)
    setting = Segmenter(steps=1, base=2, patch=32)
    network = trained([Case(images, images[0] > 1)], setting, tmp_path)
    assert segmented(network, images, setting).shape == (10, 9, 8)


def test_images_are_standardized_in_the_brain():
    rng = np.random.default_rng(0)
    brain = np.zeros((8, 8, 8), bool)
    brain[2:6] = True
    one, two = standardized([rng.normal(5, 2, brain.shape), rng.normal(900, 50, brain.shape)], brain)
    for image in (one, two):
        assert image[brain].mean() == pytest.approx(0, abs=1e-5)
        assert image[brain].std() == pytest.approx(1, abs=1e-5)
        assert not image[~brain].any()
    with pytest.raises(ValueError, match="constant"):
        standardized([np.ones(brain.shape, np.float32)], brain)
    with pytest.raises(ValueError, match="differ in shape"):
        Case(np.zeros((1, 4, 4, 4), np.float32), np.zeros((4, 4, 5), bool))
