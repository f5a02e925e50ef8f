from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from haca3_bids.intensity import artifacts
from haca3_bids.quality.scan import AsScanned, Regions, air_above, measure_scan

SHAPE = (96, 104, 96)
GRID = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij"))
RADIUS = np.sqrt((GRID**2).sum(axis=0))
HEAD, BRAIN, WHITE, FLUID = RADIUS < 0.42, RADIUS < 0.4, RADIUS < 0.28, RADIUS < 0.13
REGIONS = Regions(HEAD, BRAIN, WHITE & ~FLUID, BRAIN & ~WHITE, FLUID, air_above(BRAIN))
EVERYWHERE = np.ones(SHAPE, bool)


def scan(grey: float = 700.0, fluid: float = 300.0, noise: float = 0.01) -> NDArray[np.float32]:
    """A ball with fluid in white matter in grey matter in scalp, white matter 1000, in Rician noise."""
    rng = np.random.default_rng(0)
    image = np.select([FLUID, WHITE, BRAIN, HEAD], [fluid, 1000.0, grey, 500.0], 0.0)
    parts = rng.normal(0, 1000 * noise, (2, *SHAPE))
    return np.hypot(image + parts[0], parts[1]).astype(np.float32)


@pytest.mark.parametrize("sigma", [0.02, 0.05, 0.15])
def test_noise_is_measured_to_a_seventh(sigma: float) -> None:
    found = artifacts.noise(scan(noise=sigma), (RADIUS > 0.19) & (RADIUS < 0.22), 1000.0)
    assert found == pytest.approx(sigma, rel=0.15)


def test_air_of_pure_noise_is_a_rayleigh_mean() -> None:
    assert artifacts.air_level(scan(noise=0.04), RADIUS > 0.8, 1000.0) == pytest.approx(
        0.04 * np.sqrt(np.pi / 2), rel=0.02
    )


def test_ghosts_in_the_air_are_told_from_noise() -> None:
    noisy = scan(noise=0.1)
    ghosted = scan() + 0.3 * np.roll(scan(), SHAPE[0] // 2, axis=0)
    measured = [artifacts.ghosts(image, RADIUS > 0.8, 1000.0) or 0.0 for image in (scan(), noisy, ghosted)]
    assert measured[2] > 2 * measured[1] > 2 * measured[0]


def test_motion_makes_the_air_uneven_and_noise_does_not() -> None:
    zooms, air = np.full(3, 2.0), RADIUS > 0.5
    ghosted = scan(noise=0.02) + 0.03 * np.roll(scan(), SHAPE[0] // 2, axis=0)

    def uneven(image: NDArray[np.float32]) -> float:
        raw = AsScanned(image, air, REGIONS.white, zooms)
        return measure_scan(image, EVERYWHERE, REGIONS, "T1w", raw).air_unevenness or 0.0

    assert uneven(scan(noise=0.02)) < 0.05
    assert uneven(scan(noise=0.2)) < 0.05
    assert uneven(ghosted) > 0.15


def test_a_smooth_gain_of_the_coils_is_no_motion() -> None:
    gain = (1 + 0.3 * GRID[0]).astype(np.float32)
    raw = AsScanned(scan(noise=0.05) * gain, RADIUS > 0.5, REGIONS.white, np.full(3, 2.0))
    assert (measure_scan(scan(), EVERYWHERE, REGIONS, "T1w", raw).air_unevenness or 0.0) < 0.2


def test_without_the_scan_as_it_was_nothing_is_said_of_its_air_being_uneven() -> None:
    assert measure_scan(scan(), EVERYWHERE, REGIONS, "T1w").air_unevenness is None


def test_air_that_was_set_to_zero_says_nothing() -> None:
    cleaned = np.where(HEAD, scan(), 0).astype(np.float32)
    quality = measure_scan(cleaned, EVERYWHERE, REGIONS, "T1w")
    assert (quality.air, quality.ghosts) == (None, None)
    assert quality.noise is not None


def test_half_a_brain_is_noticed_whether_it_is_out_of_view_or_black() -> None:
    half = GRID[0] < 0
    black = np.where(half, scan(), 0).astype(np.float32)
    assert measure_scan(scan(), EVERYWHERE, REGIONS, "T1w").brain_seen > 0.98
    assert measure_scan(scan(), half, REGIONS, "T1w").brain_seen == pytest.approx(0.5, abs=0.02)
    assert measure_scan(black, EVERYWHERE, REGIONS, "T1w").brain_seen == pytest.approx(
        0.5, abs=0.15
    )  # a rim of the black half is blurred into


LOOKS = {"T1w": (700.0, 350.0), "T2w": (1400.0, 2500.0), "PDw": (1200.0, 1250.0), "FLAIR": (1300.0, 300.0)}


@pytest.mark.parametrize("contrast", LOOKS)
def test_an_image_looks_like_its_name_and_like_no_other(contrast: str) -> None:
    image = scan(*LOOKS[contrast])
    assert measure_scan(image, EVERYWHERE, REGIONS, contrast).likely_contrast == contrast
    for name in LOOKS:
        margin = measure_scan(image, EVERYWHERE, REGIONS, name).name_margin
        assert margin is not None
        assert (margin > 0) == (name == contrast)


def test_what_cannot_be_measured_is_none_and_not_a_failure() -> None:
    nothing = np.zeros(SHAPE, bool)
    regions = replace(REGIONS, white=nothing, grey=nothing, fluid=nothing)
    quality = measure_scan(np.zeros(SHAPE, np.float32), EVERYWHERE, regions, "T1w")
    assert quality.noise is quality.name_margin is quality.joint_variation is None
    assert quality.brain_seen == 0.0


def test_measures_do_not_depend_on_what_lies_outside_the_field_of_view() -> None:
    view = GRID[2] < 0.7
    other = np.where(view, scan(), 9e4).astype(np.float32)
    for one, two in zip(
        *(astuple(measure_scan(image, view, REGIONS, "T1w")) for image in (scan(), other)), strict=True
    ):
        assert one == (pytest.approx(two, rel=1e-6) if isinstance(two, float) else two)
