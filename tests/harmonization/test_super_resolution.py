from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from haca3_bids.harmonization.super_resolution import box_average, noise_level, spline_rows, super_resolved
from haca3_bids.volumes.volume import Volume

FACTOR = 4  # slices of 4 mm


@pytest.fixture(scope="module")
def sharp() -> np.ndarray:
    """Blobs with edges, as tissues have them."""
    noise = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((72, 68, 48)), 3)
    return (1.0 + 0.5 * (noise > 0) + 0.4 * (noise > 0.02)).astype(np.float32)


@pytest.fixture(scope="module")
def thick(sharp) -> Volume:
    data = sharp.reshape(*sharp.shape[:2], -1, FACTOR).mean(axis=3)
    data = data + 0.02 * np.random.default_rng(1).standard_normal(data.shape)
    return Volume(data.astype(np.float32), np.diag([1.0, 1.0, FACTOR, 1.0]))


@pytest.fixture(scope="module")
def small(thick) -> Volume:
    return Volume(thick.data[:40, :40], thick.affine)


def psnr(image: np.ndarray, truth: np.ndarray) -> float:
    return float(10 * np.log10(truth.max() ** 2 / np.mean((image - truth) ** 2)))


@pytest.mark.slow
def test_thin_slices_are_a_decibel_nearer_to_the_truth_than_a_spline(sharp, thick) -> None:
    spline = np.tensordot(thick.data, spline_rows(thick.shape[2], FACTOR).T, axes=1)
    found = super_resolved(thick, axis=2, steps=80)
    assert found.shape == sharp.shape
    assert psnr(found.data, sharp) > psnr(spline, sharp) + 1.0


def test_the_acquired_slices_stay_and_the_image_stays_where_it_is(thick) -> None:
    found = super_resolved(thick, axis=2, steps=2)
    means = found.data.reshape(*thick.shape, FACTOR).mean(axis=3)
    np.testing.assert_allclose(means, thick.data, atol=1e-4)
    np.testing.assert_allclose(found.affine @ [0, 0, 1.5, 1], thick.affine @ [0, 0, 0, 1])
    np.testing.assert_allclose(found.zooms_mm, [1, 1, 1])


def test_slices_across_any_axis_are_made_thin(small) -> None:
    turned = Volume(np.moveaxis(small.data, 2, 0), small.affine[:, [2, 0, 1, 3]])
    one, other = super_resolved(small, 2, steps=2), super_resolved(turned, 0, steps=2)
    np.testing.assert_allclose(np.moveaxis(other.data, 0, 2), one.data, rtol=1e-5)


def test_the_same_scan_and_seed_give_the_same_bits(small) -> None:
    one, same, other = (super_resolved(small, 2, seed=seed, steps=3).data for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_averages_over_boxes_are_averages() -> None:
    rows = box_average(np.array([2.0, 4.5]), 3.0, 8)
    np.testing.assert_allclose(rows.sum(axis=1), 1)
    np.testing.assert_allclose(rows[0], [1 / 6, 1 / 3, 1 / 3, 1 / 6, 0, 0, 0, 0], rtol=1e-6)


def test_a_straight_line_is_interpolated_as_one() -> None:
    line = spline_rows(6, 2) @ np.arange(6.0)
    np.testing.assert_allclose(line[1:-1], np.arange(1, 11) / 2 - 0.25, atol=1e-5)


def test_the_noise_is_told_from_detail(sharp) -> None:
    noisy = sharp + 0.05 * np.random.default_rng(2).standard_normal(sharp.shape).astype(np.float32)
    assert noise_level(np.moveaxis(noisy, 2, 0)) == pytest.approx(0.05, rel=0.3)
