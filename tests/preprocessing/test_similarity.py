from __future__ import annotations

import numpy as np
import pytest

from haca3_bids.preprocessing.similarity import compare, entropy, mutual_information
from haca3_bids.preprocessing.transforms import similarity_matrix


def test_independent_intensities_share_nothing() -> None:
    joint = np.outer([0.2, 0.3, 0.5], [0.6, 0.4])
    assert mutual_information(joint) == pytest.approx(0, abs=1e-12)


def test_an_image_knows_all_of_itself() -> None:
    distribution = np.array([0.2, 0.3, 0.5])
    assert mutual_information(np.diag(distribution)) == pytest.approx(entropy(distribution))


def test_the_true_position_of_another_contrast_scores_best(phantom) -> None:
    fixed, moving = phantom.scan("T1w"), phantom.scan("T2w", seed=1)
    head = phantom.labels > 0
    comparison = compare(fixed, head, moving, limit=5000, moving_mask=head)
    at_home = comparison.score(np.eye(4))
    for rotation, shift in (((0.1, 0, 0), (0, 0, 0)), ((0, 0, 0), (0, 8, 0)), ((0, 0, 3.14), (0, 0, 0))):
        assert comparison.score(similarity_matrix(rotation, shift)) < at_home


def test_leaving_the_field_of_view_does_not_pay(phantom) -> None:
    scan = phantom.scan("T1w")
    comparison = compare(scan, phantom.labels > 0, scan, limit=5000, moving_mask=phantom.labels > 0)
    far = similarity_matrix((0, 0, 0), (400, 0, 0))
    assert comparison.at(far)[1] == 0
    assert comparison.score(far) == pytest.approx(0)


def test_no_more_points_than_asked_for(phantom) -> None:
    scan = phantom.scan("T1w")
    comparison = compare(scan, phantom.labels > 0, scan, limit=500, moving_mask=phantom.labels > 0)
    assert 250 < len(comparison.points) <= 500
