"""Zeros that a scan was given instead of being measured are no air, whatever left them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from haca3_bids.intensity.blank import blank_mask
from haca3_bids.interfaces.quality import as_scanned
from haca3_bids.preprocessing.resampling import shrink
from haca3_bids.preprocessing.session import blank_voxels
from haca3_bids.quality.scan import Regions, ScanQuality, air_above, measure_scan
from haca3_bids.quality.verdict import judge
from haca3_bids.records.preprocessing import Preprocessing, ScanFacts
from haca3_bids.settings import WHITE_MATTER_PEAK
from haca3_bids.volumes.volume import Volume

Image = NDArray[np.float32]
SHAPE = (128, 128, 128)
INDEX = np.indices(SHAPE)
RADIUS = np.sqrt(((INDEX - 63.5) ** 2).sum(axis=0))
BRAIN, FLUID = RADIUS < 16, RADIUS < 6
WHITE = (RADIUS < 13) & ~FLUID
REGIONS = Regions(RADIUS < 20, BRAIN, WHITE, BRAIN & (RADIUS > 13), FLUID, air_above(BRAIN))
EVERYWHERE = np.ones(SHAPE, bool)


def scan() -> Image:
    """A small head whose air is noise of 3 % of white matter."""
    values = [300.0, WHITE_MATTER_PEAK, 700.0, 500.0]
    image = np.select([RADIUS < 6, RADIUS < 13, RADIUS < 16, RADIUS < 20], values, 0.0)
    parts = np.random.default_rng(0).normal(0, 30, (2, *SHAPE))
    return np.hypot(image + parts[0], parts[1]).astype(np.float32)


def quality(image: Image) -> ScanQuality:
    """As the App measures it, on a template's grid that is the scan's own."""
    raw = Volume(np.nan_to_num(image), np.eye(4))
    found = blank_voxels(raw).data > 0
    measured = as_scanned(shrink(raw, 2.0), raw, np.eye(4), REGIONS, EVERYWHERE, found)
    return measure_scan(raw.data, EVERYWHERE, REGIONS, "T1w", measured)


def without(part: NDArray[np.bool_], value: float = 0.0) -> Callable[[Image], Image]:
    return lambda image: np.where(part, np.float32(value), image)


WEDGE = INDEX[0] + INDEX[2] > 1.45 * SHAPE[0]
BORDER = np.abs(INDEX - 63.5).max(axis=0) > 59
RECIPES: dict[str, Callable[[Image], Image]] = {
    "a wedge, as after a rotation": without(WEDGE),
    "wedges of NaN": without(WEDGE, np.nan),
    "a border": without(BORDER),
    "a border of one voxel": without(np.abs(INDEX - 63.5).max(axis=0) > 63),
    "8 mm at the top": without(INDEX[2] >= SHAPE[2] - 8),
    "a face": without((INDEX[1] > 90) & (INDEX[2] < 72)),
}


@pytest.fixture(scope="module")
def clean() -> ScanQuality:
    return quality(scan())


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_clean_scan_stays_clean_where_zeros_were_put_into_its_air(recipe: str, clean: ScanQuality) -> None:
    given = quality(RECIPES[recipe](scan()))
    assert given.air == pytest.approx(clean.air, rel=0.03)
    assert given.ghosts == pytest.approx(clean.ghosts, abs=0.003)
    assert given.air_unevenness == pytest.approx(clean.air_unevenness, abs=0.02)
    found, before = (judge(Preprocessing(contrasts={"T1w": ScanFacts(quality=one)}), {}) for one in (given, clean))
    assert [reason.measure for reason in found.reasons] == [reason.measure for reason in before.reasons]


def test_ghosts_are_still_seen_beside_a_wedge() -> None:
    ghosted = scan() + np.float32(90) * (1 + np.sin(INDEX[0] / 6)).astype(np.float32)
    measured = quality(RECIPES["a wedge, as after a rotation"](ghosted))
    assert (measured.ghosts or 0) > 0.1


def test_air_that_was_all_set_to_zero_is_not_judged_by_the_haze_about_the_head() -> None:
    measured = quality(np.where(RADIUS < 30, scan(), 0).astype(np.float32))
    assert (measured.air, measured.ghosts, measured.air_unevenness) == (None, None, None)


def test_single_zeros_of_coarse_steps_are_measured_air() -> None:
    rounded = np.rint(np.abs(np.random.default_rng(0).normal(0, 0.7, (40, 40, 40))))
    assert (rounded == 0).mean() > 0.5
    assert blank_mask(rounded.astype(np.float32)).mean() < 0.02


def test_a_scan_without_zeros_is_blank_nowhere_and_one_of_zeros_everywhere() -> None:
    assert not blank_mask(np.ones((5, 6, 7), np.float32)).any()
    assert blank_mask(np.zeros((5, 6, 7), np.float32)).all()
