from __future__ import annotations

import numpy as np
import pytest

from haca3_bids.preprocessing.longitudinal import Frame, common_frame, mean_image
from haca3_bids.preprocessing.transforms import apply, inverse, mean_rigid, rotation_deg, similarity_matrix
from haca3_bids.settings import PreprocessingSettings
from haca3_bids.volumes.volume import Volume

FAST = PreprocessingSettings(sloppy=True)
CENTRE = np.array([0.0, -18.0, 5.0])
POINTS = CENTRE + np.random.default_rng(0).uniform(-60, 60, (200, 3))
PLACES = {
    "ses-1": similarity_matrix((0.0, 0.05, 0.0), (3.0, 0.0, -4.0), 0.0, CENTRE),
    "ses-2": similarity_matrix((0.3, 0.0, -0.1), (10.0, -8.0, 12.0), 0.0, CENTRE),
    "ses-3": similarity_matrix((-0.1, 0.1, 0.2), (-6.0, 5.0, 2.0), 0.0, CENTRE),
}


def visits(phantom, names) -> dict[str, Volume]:
    return {name: phantom.scan("T1w", PLACES[name], seed=seed) for seed, name in enumerate(names)}


@pytest.fixture(scope="module")
def two(phantom) -> Frame:
    return common_frame(visits(phantom, ("ses-1", "ses-2")), phantom.template(), FAST)


def apart(frame: Frame) -> float:
    """How far from each other, in mm, the visits show one point of the head."""
    first, *rest = [apply(inverse(pull) @ PLACES[name], POINTS) for name, pull in frame.pulls.items()]
    return max(float(np.linalg.norm(first - other, axis=1).max()) for other in rest)


def test_two_visits_in_different_positions_overlap_in_the_frame(two) -> None:
    assert apart(two) < 0.75  # a quarter of the phantom's voxels


def test_the_frame_of_the_only_visit_that_can_be_read_is_its_own(phantom) -> None:
    frame = common_frame(visits(phantom, ["ses-2"]), phantom.template(), FAST)
    np.testing.assert_array_equal(frame.pulls["ses-2"], np.eye(4))
    moved = apply(inverse(PLACES["ses-2"]) @ frame.place("ses-2").rigid, CENTRE[None])[0] - CENTRE
    assert np.linalg.norm(moved) < 1.5


@pytest.mark.slow
def test_three_visits_in_different_positions_overlap_in_the_frame(phantom) -> None:
    assert apart(common_frame(visits(phantom, tuple(PLACES)), phantom.template(), FAST)) < 0.75


def test_the_frame_lies_in_the_middle_and_every_visit_is_moved(two) -> None:
    one, other = (two.pulls[name] for name in ("ses-1", "ses-2"))
    assert rotation_deg(one) == pytest.approx(rotation_deg(other), abs=0.01)
    assert rotation_deg(one) == pytest.approx(rotation_deg(inverse(PLACES["ses-1"]) @ PLACES["ses-2"]) / 2, abs=0.5)


def test_the_template_is_found_by_way_of_the_frame(phantom, two) -> None:
    for name in two.pulls:
        moved = apply(inverse(PLACES[name]) @ two.place(name).rigid, CENTRE[None])[0] - CENTRE
        assert np.linalg.norm(moved) < 1.5
    head, true = two.head(phantom.template()), phantom.labels > 0
    assert 2 * (head & true).sum() / (head.sum() + true.sum()) > 0.9


def test_the_mean_of_a_turn_and_its_inverse_is_no_turn() -> None:
    turn = similarity_matrix((0.4, -0.2, 0.1), (5.0, 2.0, -3.0), 0.0, CENTRE)
    mean = mean_rigid([turn, inverse(turn)], CENTRE)
    assert rotation_deg(mean) < 1e-6
    assert mean_rigid([turn, turn], CENTRE) == pytest.approx(turn)


def test_where_one_visit_ends_the_mean_image_goes_on_with_the_other(phantom) -> None:
    whole, part = phantom.scan("T1w", noise=0.0), phantom.scan("T1w", noise=0.0)
    part = Volume(part.data[:, :, 20:], part.affine @ similarity_matrix((0, 0, 0), (0, 0, 20)))
    image = mean_image({"a": whole, "b": part}, {"a": np.eye(4), "b": np.eye(4)})
    top = image.data[:, :, -25:]
    assert 0.5 < np.median(top[top > 0.3]) < 2
    assert image.data[:, :, :10].max() > 0.5  # seen by one of two, and not halved
