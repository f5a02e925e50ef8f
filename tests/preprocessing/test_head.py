from __future__ import annotations

import numpy as np
import pytest

from haca3_bids.intensity.background import largest_piece
from haca3_bids.preprocessing.head import closed, dilated, eroded, head_mask
from haca3_bids.volumes.volume import Volume


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


@pytest.mark.parametrize("contrast", ["T1w", "T2w", "PDw", "FLAIR"])
def test_the_head_of_every_contrast_is_found_whole(phantom, contrast) -> None:
    assert dice(head_mask(phantom.scan(contrast, noise=0.04)), phantom.labels > 0) > 0.95


def test_the_mask_of_a_stripped_image_is_the_brain(phantom) -> None:
    scan = phantom.scan("T1w", noise=0.0)
    brain = phantom.mask(3, 4, 5)
    assert dice(head_mask(scan.with_data(scan.data * brain)), brain) > 0.95


def test_a_slab_is_filled_to_its_ends(phantom) -> None:
    scan = phantom.scan("T1w")
    slab = Volume(scan.data[:, :, 25:45], scan.affine)
    mask = head_mask(slab)
    assert dice(mask[:, :, 0], phantom.labels[:, :, 25] > 0) > 0.95
    assert dice(mask[:, :, -1], phantom.labels[:, :, 44] > 0) > 0.95


def test_the_unit_of_the_image_does_not_matter(phantom) -> None:
    scan = phantom.scan("T2w")
    np.testing.assert_array_equal(head_mask(scan), head_mask(scan.with_data(scan.data * 64)))


@pytest.mark.parametrize("unit", [1e-30, 1e30, 1e36])  # the squares are beyond 32-bit floats
def test_the_head_is_found_in_any_unit_without_an_overflow(phantom, unit) -> None:
    scan = phantom.scan("T2w")
    enlarged = scan.with_data(scan.data / scan.data.max() * np.float32(unit))
    assert dice(head_mask(enlarged), head_mask(scan)) > 0.999


def test_voxels_below_zero_do_not_hide_the_air(phantom) -> None:
    scan = phantom.scan("T1w")
    largest = np.percentile(scan.data, 99.8)
    overflowed = np.where(scan.data > largest, scan.data - 2 * largest, scan.data)  # as in 16-bit integers
    assert dice(head_mask(scan.with_data(overflowed)), head_mask(scan)) > 0.98


def test_dilation_and_erosion_are_in_millimetres() -> None:
    mask = np.zeros((31, 31, 11), np.bool_)
    mask[15, 15, 5] = True
    ball = dilated(mask, np.array([1.0, 1.0, 3.0]), 6.0)
    assert ball.any(axis=(1, 2)).sum() == 13
    assert ball.any(axis=(0, 1)).sum() == 5
    assert eroded(ball, np.array([1.0, 1.0, 3.0]), 5.0).sum() >= 1


def test_closing_bridges_gaps_and_removes_nothing() -> None:
    mask = np.zeros((20, 20, 20), np.bool_)
    mask[:9], mask[12:] = True, True
    both = closed(mask, np.ones(3), 3.0)
    assert both[:, 4:-4, 4:-4].all()
    assert both[mask].all()


def test_the_largest_piece_is_kept() -> None:
    mask = np.zeros((10, 10, 10), np.bool_)
    mask[:2, :2, :2], mask[5:9, 5:9, 5:9] = True, True
    assert largest_piece(mask).sum() == 64
