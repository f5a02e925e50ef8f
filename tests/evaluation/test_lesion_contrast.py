"""Lesions: their contrast is that of medians, and the share of a drop is arithmetic."""

import numpy as np
import pytest

from haca3_bids.evaluation.lesions import lesion_contrast, recovered, surroundings


@pytest.fixture
def lesions():
    mask = np.zeros((20, 20, 20), bool)
    mask[9:11, 9:11, 9:11] = True
    return mask


def test_surroundings_are_near_and_do_not_touch_the_lesion(lesions):
    tissue = np.ones(lesions.shape, bool)
    tissue[:10] = False
    around = surroundings(lesions, tissue)
    assert not around[:10].any()
    assert not around[11:13, 9:11, 9:11].any()
    assert around[13:17, 9, 9].all()
    assert not around[17:, 9, 9].any()


def test_contrast_is_relative_to_the_surroundings_and_has_no_unit(lesions):
    around = surroundings(lesions, ~lesions)
    image = np.where(lesions, 130.0, 100.0).astype(np.float32)
    image[0] = 1e6  # far away
    assert lesion_contrast(image, lesions, around) == pytest.approx(0.3)
    assert lesion_contrast(7 * image, lesions, around) == pytest.approx(0.3)


def test_nothing_to_compare_is_a_sentence(lesions):
    with pytest.raises(ValueError, match="no lesion"):
        lesion_contrast(np.ones(lesions.shape, np.float32), lesions & False, lesions)
    with pytest.raises(ValueError, match="intensity 0"):
        lesion_contrast(np.zeros(lesions.shape, np.float32), lesions, ~lesions)


def test_what_is_recovered_is_a_share_of_the_drop():
    assert recovered(0.8, 0.3, 0.8) == pytest.approx(1)
    assert recovered(0.8, 0.3, 0.55) == pytest.approx(0.5)
    assert recovered(0.8, 0.3, 0.2) == pytest.approx(-0.2)
    assert np.isnan(recovered(0.5, 0.6, 0.7))
    assert np.isnan(recovered(0.5, 0.49, 0.7))
