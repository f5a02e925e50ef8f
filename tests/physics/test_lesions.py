"""Lesions: drawn once, painted where their kind belongs, known to the voxel, growing with the years."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from haca3_bids.physics.lesions import COUNTS, Lesion, draw_lesions, with_lesions
from haca3_bids.physics.tissues import TISSUES
from haca3_bids.physics.truth import lesion_mask
from haca3_bids.physics.ventricles import ventricles

STILL = ((0.0, 0.0, 0.0),) * 3  # a rim without waves
LESION, WHITE, GREY = (TISSUES.index(name) for name in ("lesion", "white", "grey"))


def ball(centre, radius, **changed):
    return replace(Lesion("deep", centre, (0.0, 0.0, 1.0), radius, 1.0, 1.0, 0.0, 0.0, STILL), **changed)


@pytest.fixture(scope="module")
def drawn(round_head):
    return draw_lesions(round_head, np.random.default_rng(3))


def test_every_kind_is_drawn_as_often_as_its_range_says(drawn):
    for kind, (low, high) in COUNTS.items():
        assert low <= sum(lesion.kind == kind for lesion in drawn) <= high


def test_the_same_generator_draws_the_same_lesions(round_head, drawn):
    assert draw_lesions(round_head, np.random.default_rng(3)) == drawn


def test_lesions_lie_where_their_kind_belongs(round_head, drawn):
    to_wall = ndimage.distance_transform_edt(~ventricles(round_head))
    to_cortex = ndimage.distance_transform_edt(round_head.share_of("grey") < 0.5)
    for lesion in drawn:
        at = tuple(np.rint(lesion.centre).astype(int))
        if lesion.kind == "periventricular":
            assert to_wall[at] < 5
        elif lesion.kind == "juxtacortical":
            assert to_cortex[at] < 3.5
        else:
            assert min(to_wall[at], to_cortex[at]) > 2.5


def test_a_ball_has_the_volume_of_a_ball(round_head):
    lesion = ball((70.0, 90.0, 110.0), 6.0)
    share = with_lesions(round_head, [lesion]).share_of("lesion")
    assert share.sum() == pytest.approx(4 / 3 * np.pi * 6**3, rel=0.02)
    np.testing.assert_allclose(np.array(ndimage.center_of_mass(share)), lesion.centre, atol=0.1)


def test_a_lesion_takes_the_place_of_white_matter_and_never_of_fluid(round_head, drawn):
    ill = with_lesions(round_head, drawn)
    assert lesion_mask(ill).sum() > 100
    np.testing.assert_array_equal(
        ill.shares[[WHITE, GREY, LESION]].sum(axis=0), round_head.shares[[WHITE, GREY]].sum(axis=0)
    )
    np.testing.assert_array_equal(ill.share_of("csf"), round_head.share_of("csf"))


def test_only_juxtacortical_lesions_enter_the_cortex(round_head, drawn):
    others = [lesion for lesion in drawn if lesion.kind != "juxtacortical"]
    np.testing.assert_array_equal(with_lesions(round_head, others).share_of("grey"), round_head.share_of("grey"))
    assert with_lesions(round_head, drawn).share_of("grey").sum() < round_head.share_of("grey").sum()


def test_lesions_grow_and_new_ones_appear(round_head):
    growing = ball((70.0, 90.0, 110.0), 5.0, growth_a_year=0.1)
    new = ball((120.0, 90.0, 110.0), 4.0, onset_years=2.0)
    volumes = [float(with_lesions(round_head, [growing, new], y).share_of("lesion").sum()) for y in (0, 1, 3)]
    ball_of = 4 / 3 * np.pi
    expected = [ball_of * 5**3, ball_of * 5.5**3, ball_of * ((5 * 1.1**3) ** 3 + 4**3)]
    np.testing.assert_allclose(volumes, expected, rtol=0.03)


def test_painting_leaves_its_input_alone(round_head):
    before = round_head.shares[LESION].sum()
    with_lesions(round_head, [ball((70.0, 90.0, 110.0), 5.0)])
    assert round_head.shares[LESION].sum() == before
