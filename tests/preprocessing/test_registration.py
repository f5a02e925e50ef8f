from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage

from haca3_bids.preprocessing import registration
from haca3_bids.preprocessing.registration import (
    AFFINE_SHARE,
    _air_about_the_head,
    _even,
    _search_template,
    align_prior,
    centre_of,
    coregister,
    register_to_template,
    resample_to_native,
)
from haca3_bids.preprocessing.resampling import resample
from haca3_bids.preprocessing.search import Start
from haca3_bids.preprocessing.transforms import displacement_mm, inverse, rotation_deg, scales, similarity_matrix
from haca3_bids.settings import PreprocessingSettings
from haca3_bids.volumes.volume import Volume

FAST = PreprocessingSettings(sloppy=True)
CENTRE = (0.0, -18.0, 5.0)
POSITIONS = {
    "chin on the chest": ((-45.0, 0.0, 0.0), (10.0, -20.0, 15.0)),
    "far off and turned": ((20.0, 15.0, -30.0), (60.0, -60.0, 60.0)),
}


def moved_by(position) -> np.ndarray:
    turn_deg, shift_mm = position
    return similarity_matrix(np.radians(turn_deg), shift_mm, 0.0, CENTRE)


def scan_at(phantom, contrast, moved) -> Volume:
    """A scan whose grid has moved with the head by the shift, so that the head stays in view."""
    shift = np.eye(4)
    shift[:3, 3] = (moved @ [*CENTRE, 1])[:3] - CENTRE
    scan = phantom.scan(contrast, inverse(shift) @ moved)
    return Volume(scan.data, shift @ scan.affine)


def error(found, true) -> tuple[float, float]:
    change = inverse(true) @ found
    return displacement_mm(change, CENTRE), rotation_deg(change)


@pytest.fixture(scope="module")
def found_in(phantom):
    """The registration of a T1w in a position, which is computed once."""
    return cache(partial(registered, phantom))


def registered(phantom, name):
    return register_to_template(scan_at(phantom, "T1w", moved_by(POSITIONS[name])), phantom.template(), FAST)


@pytest.mark.parametrize("name", POSITIONS)
def test_the_head_is_found_where_it_lies(found_in, name) -> None:
    found, moved = found_in(name), moved_by(POSITIONS[name])
    shift_mm, turn_deg = error(found.rigid, moved)
    assert shift_mm < 1.5
    assert turn_deg < 1.5
    np.testing.assert_allclose(scales(found.rigid), 1, atol=1e-9)


def test_skull_does_not_pull_where_the_template_has_none(phantom) -> None:
    moved = moved_by(((15.0, -5.0, 10.0), (5.0, 10.0, -15.0)))
    found = register_to_template(scan_at(phantom, "T2w", moved), phantom.template(has_skull=False), FAST)
    shift_mm, turn_deg = error(found.rigid, moved)
    assert shift_mm < 2
    assert turn_deg < 2


def test_a_small_head_keeps_its_size_and_the_scale_goes_to_the_template(phantom) -> None:
    smaller = similarity_matrix((0, 0, 0.1), (3.0, 0.0, -4.0), np.log(0.9), CENTRE)
    found = register_to_template(phantom.scan("T1w", smaller), phantom.template(), FAST)
    np.testing.assert_allclose(scales(found.rigid), 1, atol=1e-9)
    np.testing.assert_allclose(scales(found.affine), 0.9, atol=0.03)


@pytest.mark.parametrize(
    "contrast", ["T2w", pytest.param("T1w", marks=pytest.mark.slow), pytest.param("FLAIR", marks=pytest.mark.slow)]
)
def test_a_head_of_another_shape_is_not_turned_to_make_up_for_it(phantom, contrast) -> None:
    shape = np.eye(4)
    shape[:3, :3] = [[1.0, 0.0, 0.0], [0.0, 1.03, 0.06], [0.0, 0.06, 0.95]]  # symmetric: turns nothing
    found = register_to_template(phantom.scan(contrast, shape), phantom.template(), FAST)
    about_the_centre = np.asarray(CENTRE) - shape[:3, :3] @ CENTRE
    shift_mm, turn_deg = error(found.rigid, similarity_matrix((0, 0, 0), -about_the_centre, 0.0, CENTRE))
    assert turn_deg < 1.5
    assert shift_mm < 2


@pytest.mark.slow
@pytest.mark.parametrize("contrast", ["T1w", "T2w"])
def test_a_childs_head_is_not_taken_for_a_large_brain(phantom, contrast) -> None:
    moved = moved_by(((30.0, -10.0, 15.0), (5.0, 10.0, -5.0)))
    child = similarity_matrix((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), np.log(0.8), CENTRE)
    found = register_to_template(scan_at(phantom, contrast, moved @ child), phantom.template(), FAST)
    shift_mm, turn_deg = error(found.rigid, moved)
    assert shift_mm < 2
    assert turn_deg < 2
    assert scales(found.affine).max() < 0.9


@pytest.mark.parametrize("contrast", ["T1w", pytest.param("FLAIR", marks=pytest.mark.slow)])
def test_a_brain_that_has_shrunk_in_its_skull_is_not_taken_for_a_childs(phantom, contrast) -> None:
    brain = phantom.mask(4, 5)
    lost = brain & ~ndimage.binary_erosion(brain, iterations=4)
    aged = replace(phantom, labels=np.where(lost, 3, phantom.labels))  # fluid where grey matter was
    place = _search_template(aged.scan(contrast), phantom.template(), np.array(CENTRE), FAST)
    assert np.exp(place.parameters[6]) > 0.9


def test_the_head_has_a_say_among_places_that_fit_the_brain(phantom, monkeypatch) -> None:
    right, wrong = (Start(np.array([0, 0, 0, shift, 0, 0, 0.0]), np.array(CENTRE)) for shift in (0.0, 60.0))
    head, brain = {0.0: 0.7, 60.0: 0.4}, {0.0: 0.25, 60.0: 0.30}  # mutual information by shift
    scores = iter(SimpleNamespace(score=lambda pull, by=by: by[float(pull[0, 3])]) for by in (head, brain))
    monkeypatch.setattr(registration, "_comparison", lambda *_: next(scores))
    monkeypatch.setattr(registration, "starts", lambda *_: [wrong, right])
    monkeypatch.setattr(registration, "improved", lambda start, *_, **__: start)
    monkeypatch.setattr(registration, "_right_size", lambda place, *_: place)
    assert _search_template(phantom.scan("T1w"), phantom.template(), np.array(CENTRE), FAST) is right


def test_the_air_about_a_head_lies_beside_and_above_it(phantom) -> None:
    template = phantom.template()
    brain = template.brain.data > 0.5
    air = _air_about_the_head(template, template.head, brain)
    assert air.any()
    assert not (air & (phantom.labels > 0)).any()
    assert not air[:, :, : np.argwhere(brain)[:, 2].min()].any()
    assert not _air_about_the_head(phantom.template(has_skull=False), template.head, brain).any()


@pytest.mark.parametrize("contrast", ["T1w", pytest.param("FLAIR", marks=pytest.mark.slow)])
def test_a_scan_without_skull_meets_a_template_without(phantom, contrast) -> None:
    moved = moved_by(((-20.0, 5.0, 10.0), (10.0, 0.0, 15.0)))
    scan = scan_at(phantom, contrast, moved)
    brain = phantom.scan("T1w").with_data(phantom.mask(3, 4, 5).astype(np.float32))
    stripped = scan.with_data(scan.data * (resample(brain, scan, inverse(moved), order=1).data > 0.5))
    found = register_to_template(stripped, phantom.template(), FAST)
    shift_mm, turn_deg = error(found.rigid, moved)
    assert shift_mm < 1.5
    assert turn_deg < 1.5


@pytest.mark.parametrize("contrast", ["T1w", pytest.param("PDw", marks=pytest.mark.slow)])
def test_bias_that_is_left_in_the_brain_is_taken_out_before_the_last_millimetre(phantom, biased, contrast) -> None:
    scan, white, brain = phantom.scan(contrast, noise=0.0), phantom.mask(5), phantom.mask(3, 4, 5)
    sloped = biased(scan, 0.15)
    even, known = (_even(sloped, phantom.template(), np.eye(4), FAST, given) for given in (None, brain))
    left, there = (np.std(np.log(one.data[white] / scan.data[white])) for one in (even, sloped))
    assert left < 0.5 * there
    np.testing.assert_array_equal(even.data, known.data)


@pytest.mark.parametrize(("carried_mm", "believed_mm"), [(1.0, AFFINE_SHARE), (2.5, 0.0)])
def test_an_affine_transform_that_carries_the_brain_off_is_not_believed(phantom, monkeypatch, carried_mm, believed_mm):
    found = {"Similarity": np.eye(4), "Affine": similarity_matrix((0, 0, 0), (0, 0, carried_mm))}
    monkeypatch.setattr(registration, "_search_template", lambda *_: Start(np.zeros(7), np.array(CENTRE)))
    monkeypatch.setattr(registration, "_refined_in_brain", lambda *given: found[given[3]])
    alignment = register_to_template(phantom.scan("T1w"), phantom.template(), FAST)
    assert displacement_mm(alignment.rigid, CENTRE) == pytest.approx(believed_mm)
    assert displacement_mm(alignment.affine, CENTRE) == pytest.approx(carried_mm if believed_mm else 0.0)


def test_another_contrast_is_found_wherever_its_header_puts_it(phantom) -> None:
    moved = moved_by(((8.0, -4.0, 12.0), (25.0, -10.0, 30.0)))
    pull = coregister(scan_at(phantom, "FLAIR", moved), phantom.scan("T1w"), FAST)
    shift_mm, turn_deg = error(pull, moved)
    assert shift_mm < 1.5
    assert turn_deg < 1.5


def test_the_same_scan_twice_gives_the_same_matrices_bit_for_bit(phantom, found_in) -> None:
    first, second = found_in("far off and turned"), registered(phantom, "far off and turned")
    np.testing.assert_array_equal(first.rigid, second.rigid)
    np.testing.assert_array_equal(first.affine, second.affine)


def test_a_transform_that_is_given_is_kept(phantom) -> None:
    moved = moved_by(((5.0, 0.0, 0.0), (2.0, 2.0, 2.0)))
    found = align_prior(phantom.scan("T1w", moved), phantom.template(), moved, FAST)
    np.testing.assert_array_equal(found.rigid, moved)
    assert displacement_mm(inverse(moved) @ found.affine, CENTRE) < 2


def test_to_the_native_grid_is_the_way_back(phantom) -> None:
    moved = moved_by(((5.0, 3.0, 0.0), (4.0, 2.0, -3.0)))
    native = phantom.scan("T1w", moved, noise=0.0)
    back = resample_to_native(phantom.scan("T1w", noise=0.0), native, moved)
    assert back.has_grid_of(native)
    head = native.data > 30
    assert np.corrcoef(back.data[head], native.data[head])[0, 1] > 0.97
    assert not back.data[~ndimage.binary_dilation(native.data > 0.1, iterations=8)].any()


def test_the_centre_of_a_mask_is_in_millimetres() -> None:
    mask = np.zeros((10, 10, 10), np.bool_)
    mask[2:4, 3, 5] = True
    volume = Volume(np.zeros((10, 10, 10), np.float32), np.diag([2.0, 2.0, 2.0, 1.0]))
    np.testing.assert_allclose(centre_of(volume, mask), [5, 6, 10])
