"""Ageing: ventricles grow, grey matter thins, by what the rates say, and nothing else changes."""

import numpy as np
import pytest

from haca3_bids.physics.ageing import Ageing, aged, draw_ageing
from haca3_bids.physics.anatomy import FULL, SHAPE, Anatomy
from haca3_bids.physics.tissues import BRAIN, TISSUES
from haca3_bids.physics.truth import crisp, volumes_ml
from haca3_bids.physics.ventricles import ventricles


def test_a_head_to_which_no_time_passes_is_the_same(round_head):
    assert aged(round_head, Ageing(0.05, 0.007), 0) is round_head


def test_nobody_grows_younger(round_head):
    with pytest.raises(ValueError, match="cannot be made younger"):
        aged(round_head, Ageing(0.05, 0.007), -1)
    with pytest.raises(ValueError, match="must not be negative"):
        Ageing(-0.1, 0)


def test_ventricles_are_found_and_the_fluid_around_the_brain_is_not(round_head, radius_of_head):
    found = ventricles(round_head)
    drawn = (round_head.share_of("csf") > 0.5) & (radius_of_head <= 0.9)
    assert 2 * (found & drawn).sum() / (found.sum() + drawn.sum()) > 0.95


def test_the_wall_of_the_ventricles_moves_as_far_as_the_rates_say(round_head):
    before = ventricles(round_head)
    later = ventricles(aged(round_head, Ageing(0.1, 0.0), 20))  # 2 mm
    radius = 9.0  # of an ellipsoid, across
    across = 2 * 2 * 2 / 3 / 12  # what FADE_MM takes off, to first order, is below a millimetre
    assert later.sum() > before.sum()
    assert before[later].sum() == before.sum()
    grown = later.sum() / before.sum()
    low, high = ((radius + 2 - 2 * across) / radius) ** 2, ((radius + 2.2) / radius) ** 2 * 1.35
    assert low < grown < high


def test_the_cortex_loses_its_rate_times_its_surface(round_head, radius_of_head):
    later = aged(round_head, Ageing(0.0, 0.01), 40)  # 0.4 mm
    lost = round_head.share_of("grey").sum() - later.share_of("grey").sum()
    grey, csf = round_head.share_of("grey") > 0.5, round_head.share_of("csf") > 0.5
    surface = _sphere_surface(radius_of_head, 0.93)
    assert lost == pytest.approx(0.4 * surface, rel=0.15)
    assert (grey & csf).sum() == 0
    gained = later.share_of("csf").sum() - round_head.share_of("csf").sum()
    assert gained == pytest.approx(lost, rel=0.01)


def _sphere_surface(rim, level):
    """The area of the level set, from the volume of a thin shell around it (coarea formula)."""
    slope = np.sqrt(sum(part**2 for part in np.gradient(rim)))
    shell = np.abs(rim - level) < 0.01
    return float((slope[shell]).sum() / 0.02)


def test_skull_and_scalp_stay_and_no_voxel_overflows(round_head):
    later = aged(round_head, Ageing(0.08, 0.008), 50)
    for name in ("bone", "fat"):
        np.testing.assert_array_equal(later.share_of(name), round_head.share_of(name))
    total = later.shares.sum(axis=0, dtype=np.uint16)
    assert total.max() <= FULL + len(TISSUES)
    assert np.abs(total.astype(int) - round_head.shares.sum(axis=0, dtype=np.uint16)).max() <= len(BRAIN)


def test_fluid_that_shares_its_voxel_by_rounding_stays_fluid(round_head):
    shares = np.array(round_head.shares)
    shares[TISSUES.index("white")][ventricles(round_head)] = 1  # 256 of 255, as tissues rounded apart can add up to
    later = aged(Anatomy(shares), Ageing(0.05, 0.007), 10)
    assert later.share_of("csf")[ventricles(round_head)].min() > 0.98


def test_tissue_does_not_come_out_at_the_other_side_of_a_narrow_ventricle(narrow_head):
    later = aged(narrow_head, Ageing(0.3, 0.0), 20)  # 6 mm back from the wall leaves a ventricle 8 mm wide
    drawn = ventricles(narrow_head)
    assert drawn.sum() > 1000
    assert later.share_of("csf")[drawn].min() > 0.9


def test_people_age_at_different_rates_that_are_never_negative():
    rates = [draw_ageing(np.random.default_rng(seed)) for seed in range(20)]
    assert len({rate.ventricle_mm_a_year for rate in rates}) == 20
    assert np.mean([rate.cortex_mm_a_year for rate in rates]) == pytest.approx(0.007, rel=0.3)


def test_true_volumes_are_what_was_drawn():
    shares = np.zeros((len(TISSUES), *SHAPE), np.uint8)
    shares[TISSUES.index("white"), 60:80, 60:80, 60:80] = FULL
    shares[TISSUES.index("lesion"), 60:70, 60:70, 80] = FULL
    volumes = volumes_ml(Anatomy(shares))
    assert (volumes["white"], volumes["lesion"], volumes["ventricles"]) == (8.0, 0.1, 0.0)
    assert volumes["intracranial"] == pytest.approx(8.1)
    assert (crisp(Anatomy(shares)) > 0).sum() == 8100
