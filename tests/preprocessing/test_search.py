from __future__ import annotations

import numpy as np
import pytest

from haca3_bids.preprocessing.search import SHIFTS_MM, Start, best, distance_mm, improved, rotation_grid, starts
from haca3_bids.preprocessing.similarity import compare


def test_the_grid_of_rotations_begins_with_none_and_reaches_its_limit() -> None:
    grid = np.degrees(np.linalg.norm(rotation_grid(75, 25), axis=1))
    assert grid[0] == 0
    assert grid.max() == 75
    assert len(grid) == 123


def test_every_start_lays_the_fixed_centre_on_a_moving_one() -> None:
    centre, moving = np.array([1.0, 2.0, 3.0]), np.array([40.0, -30.0, 20.0])
    made = list(starts(rotation_grid(50, 25), centre, [moving]))
    unshifted = [start for start in made if start.parameters[:3].any()][SHIFTS_MM.index(0.0) :: len(SHIFTS_MM)]
    for start in unshifted:
        np.testing.assert_allclose(start.pull @ [*centre, 1], [*moving, 1], atol=1e-9)


def test_a_child_is_looked_for_from_every_place_as_well() -> None:
    made = list(starts(rotation_grid(25, 25), np.zeros(3), [np.zeros(3)], (0.0, -0.2)))
    small = [start for start in made if start.parameters[6] < 0]
    assert 2 * len(small) == len(made)
    assert np.linalg.det(small[0].pull[:3, :3]) == pytest.approx(np.exp(-0.6))


def test_distance_is_that_of_a_shift_and_grows_with_a_turn() -> None:
    here = Start(np.zeros(7), np.zeros(3))
    there = Start(np.array([0, 0, 0, 3.0, 4.0, 0, 0]), np.zeros(3))
    turned = Start(np.array([0, 0, 0.5, 0, 0, 0, 0]), np.zeros(3))
    assert distance_mm(here, there) == 5
    assert 20 < distance_mm(here, turned) < 35


def test_the_best_starts_are_apart(phantom) -> None:
    scan = phantom.scan("T1w")
    comparison = compare(scan, phantom.labels > 0, scan, limit=1000, moving_mask=phantom.labels > 0)
    centre = np.array([0.0, -18.0, 5.0])
    kept = best(list(starts(rotation_grid(25, 25), centre, [centre])), comparison.score, 4)
    assert all(distance_mm(one, other) >= 25 for one in kept for other in kept if one is not other)
    assert distance_mm(kept[0], Start(np.zeros(7), centre)) == 0


def test_improvement_finds_the_place_from_nearby_and_never_makes_it_worse(phantom) -> None:
    scan = phantom.scan("T1w")
    comparison = compare(scan, phantom.labels > 0, scan, limit=4000, moving_mask=phantom.labels > 0)
    centre = np.array([0.0, -18.0, 5.0])
    near = Start(np.array([0.15, -0.1, 0.05, 6.0, -5.0, 8.0, 0.0]), centre)
    found = improved(near, comparison, scaled=False, step_mm=5.0, evaluations=300)
    assert comparison.score(found.pull) >= comparison.score(near.pull)
    assert distance_mm(found, Start(np.zeros(7), centre)) < 3
    assert found.parameters[6] == 0
