"""PSNR and SSIM against closed forms, brute force and scikit-image."""

import numpy as np
import pytest
from skimage.exposure import match_histograms
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from haca3_bids.evaluation.normalization import matched
from haca3_bids.evaluation.similarity import (
    compared,
    correlation,
    fitted,
    psnr_db,
    scaled,
    scaled_psnr_db,
    ssim,
    ssim_map,
)
from haca3_bids.volumes.box import bounding_box


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    truth = rng.random((24, 20, 22), np.float32)
    truth = (truth + np.roll(truth, 1, 0) + np.roll(truth, 1, 1)) / 3
    return truth + 0.1 * rng.standard_normal(truth.shape, np.float32), truth


def test_psnr_of_a_constant_error_is_twenty_times_the_logarithm_of_its_size():
    truth = np.linspace(0, 1, 64, dtype=np.float32).reshape(4, 4, 4)
    assert psnr_db(truth + 0.1, truth, truth >= 0) == pytest.approx(20, abs=1e-4)
    assert psnr_db(truth, truth, truth >= 0) == float("inf")


def test_psnr_is_scikit_images(pair):
    image, truth = pair
    expected = peak_signal_noise_ratio(truth, image, data_range=1)
    assert psnr_db(image, truth, np.ones(truth.shape, bool)) == pytest.approx(expected, abs=1e-5)


def test_ssim_is_scikit_images_at_every_voxel(pair):
    image, truth = pair
    _, expected = structural_similarity(
        truth.astype(float), image.astype(float), data_range=1, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, full=True,
    )  # fmt: skip
    np.testing.assert_allclose(ssim_map(image, truth), expected, atol=1e-6)


def test_ssim_of_one_voxel_is_what_its_definition_gives(pair):
    image, truth = pair
    offsets = np.arange(-5, 6)
    one = np.exp(-(offsets**2) / (2 * 1.5**2))
    window = np.einsum("i,j,k->ijk", one, one, one) / one.sum() ** 3
    part = tuple(slice(c - 5, c + 6) for c in (12, 10, 11))
    x, y = image[part].astype(float), truth[part].astype(float)
    mx, my = (window * x).sum(), (window * y).sum()
    vx, vy, cov = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum(), (window * (x - mx) * (y - my)).sum()
    expected = (2 * mx * my + 1e-4) * (2 * cov + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))
    assert ssim_map(image, truth)[12, 10, 11] == pytest.approx(expected, abs=1e-6)


def test_correlation_is_numpys_inside_the_mask(pair):
    image, truth = pair
    mask = truth > 0.3
    assert correlation(image, truth, mask) == pytest.approx(np.corrcoef(image[mask], truth[mask])[0, 1], abs=1e-9)
    assert correlation(np.ones_like(truth), truth, mask) == pytest.approx(0, abs=1e-6)


def test_an_image_is_like_itself_in_whatever_unit(pair):
    _, truth = pair
    mask = truth > 0.3
    found = compared(700 * truth, truth, mask)
    assert found.ssim == pytest.approx(1, abs=1e-5)
    assert found.psnr_db > 100


def test_what_lies_outside_the_mask_does_not_count(pair):
    image, truth = pair
    mask = np.zeros(truth.shape, bool)
    mask[4:18, 5:15, 6:16] = True
    spoilt = np.where(mask, image, 50).astype(np.float32)
    assert compared(spoilt, truth, mask) == compared(image, truth, mask)


def test_the_scale_is_the_95th_percentile_inside_the_mask():
    image = np.arange(101, dtype=np.float32)
    assert scaled(image, image <= 100)[95] == pytest.approx(1)
    assert scaled(image, image <= 20)[19] == pytest.approx(1)
    with pytest.raises(ValueError, match="nothing to compare"):
        scaled(np.zeros(4, np.float32), np.ones(4, bool))


def test_noise_lowers_both_measures(pair):
    image, truth = pair
    mask = np.ones(truth.shape, bool)
    worse = image + 0.2 * np.random.default_rng(1).standard_normal(truth.shape, np.float32)
    assert psnr_db(worse, truth, mask) < psnr_db(image, truth, mask)
    assert ssim(worse, truth, mask) < ssim(image, truth, mask)


def test_the_box_of_a_mask_holds_it_and_no_more():
    mask = np.zeros((9, 8, 7), bool)
    mask[2:5, 3, 1:6] = True
    assert mask[bounding_box(mask)].shape == (3, 1, 5)
    assert mask[bounding_box(mask, margin=3)].shape == (8, 7, 7)  # the grid ends
    nothing = np.zeros((2, 2), bool)
    assert bounding_box(nothing) == (slice(0, 2), slice(0, 2))
    with pytest.raises(ValueError, match="nothing to compare"):
        compared(np.ones((2, 2), np.float32), np.ones((2, 2), np.float32), nothing)


def test_matched_histograms_are_the_references(pair):
    image, truth = pair
    everywhere = np.ones(truth.shape, bool)
    reference = truth[::-1] ** 2 * 900
    found = matched(image, everywhere, reference, everywhere)
    difference = np.abs(found - match_histograms(image, reference))
    assert np.quantile(difference, 0.99) < 2  # of 900; the last thousandth lies between two quantiles
    np.testing.assert_allclose(np.quantile(found, [0.1, 0.5, 0.9]), np.quantile(reference, [0.1, 0.5, 0.9]), rtol=0.01)


def test_matching_undoes_a_change_of_contrast_of_the_same_image(pair):
    _, truth = pair
    mask = truth > 0.2
    found = matched(np.sqrt(truth) * 30 + 5, mask, truth, mask)
    np.testing.assert_allclose(found[mask], truth[mask], atol=2e-3)
    assert not found[~mask].any()


def test_after_the_best_factor_psnr_and_ssim_are_scikit_images(pair):
    noisy, truth = pair
    image, head, brain = 37 * noisy, np.zeros(truth.shape, bool), np.zeros(truth.shape, bool)
    head[2:22, 2:18, 2:20], brain[6:18, 5:15, 6:16] = True, True
    unit = np.percentile(truth[head], 95)
    factor = np.linalg.lstsq(image[brain][:, None].astype(float), truth[brain].astype(float), rcond=None)[0][0]
    one, other = (np.where(brain, x, 0).astype(float) for x in (factor * image, truth))
    found = fitted(image, truth, brain, head)
    expected = peak_signal_noise_ratio(other[brain], one[brain], data_range=unit)
    assert found.psnr_db == pytest.approx(expected, abs=1e-4)
    assert found.psnr_db == scaled_psnr_db(image, truth, brain, head)
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "full": True}
    _, similar = structural_similarity(other, one, data_range=unit, **window)
    assert found.ssim == pytest.approx(similar[brain].mean(), abs=1e-5)


def test_an_image_in_another_unit_fits_perfectly_and_nothing_to_compare_is_told(pair):
    _, truth = pair
    mask = truth > 0.3
    assert fitted(700 * truth, truth, mask, mask).ssim == pytest.approx(1, abs=1e-5)
    for reference, where in ((np.zeros_like(truth), mask), (truth, np.zeros_like(mask))):
        with pytest.raises(ValueError, match="nothing to compare"):
            fitted(truth, reference, where, where)
