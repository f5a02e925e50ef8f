"""The signal equations against brute force and closed-form limits."""

from dataclasses import replace

import numpy as np
import pytest

from haca3_bids.physics.protocols import (
    FAMILIES,
    HELD_OUT_FAMILIES,
    REFERENCE_PROTOCOLS,
    draw_protocol,
    draw_site,
    held_out_sites,
    nulling_ti_ms,
)
from haca3_bids.physics.render import render, tissue_weights
from haca3_bids.physics.signal import (
    Protocol,
    flair,
    mdeft,
    mprage,
    signal,
    signal_and_slopes,
    space,
    spgr,
    spin_echo,
)
from haca3_bids.physics.tissues import TISSUES, deviate, mean_tissues, person_deviations
from haca3_bids.settings import CONTRASTS

T1 = np.array([300.0, 850.0, 1400.0, 4200.0])
T2 = np.array([70.0, 72.0, 92.0, 1800.0])
PD = np.array([0.9, 0.7, 0.83, 1.0])


def bloch_mprage(t1, *, tr, ti, flip, spacing, pulses, cycles=30):
    """Longitudinal magnetization followed pulse by pulse until it repeats; transverse signal of the middle pulse."""
    angle, m, middle = np.deg2rad(flip), 1.0, 0.0
    before = ti - spacing * pulses / 2
    after = tr - before - spacing * pulses

    def recover(m, time):
        return 1 - (1 - m) * np.exp(-time / t1)

    for _ in range(cycles):
        m = recover(-m, before)
        for pulse in range(pulses):
            if pulse == pulses // 2:
                middle = m * np.sin(angle)
            m = recover(m * np.cos(angle), spacing)
        m = recover(m, after)
    return abs(middle)


@pytest.mark.parametrize("t1", T1)
def test_mprage_is_what_following_every_pulse_gives(t1):
    protocol = {"tr": 2300.0, "ti": 900.0, "flip": 9.0, "spacing": 7.1, "pulses": 176}
    closed = mprage(1.0, t1, np.inf, te=0.0, **protocol)
    assert closed == pytest.approx(bloch_mprage(t1, **protocol), rel=1e-9)


@pytest.mark.parametrize("t1", T1)
def test_mdeft_is_what_following_its_pulses_gives(t1):
    steps, ti = 20000, 950.0
    m = 0.0  # after the saturation
    for step in range(steps):
        if step == steps // 2:
            m = -m
        m += (1 - m) * (ti / steps) / t1
    closed = mdeft(1.0, t1, np.inf, te=0.0, ti=ti, flip=15.0)
    assert closed == pytest.approx(abs(m) * np.sin(np.deg2rad(15)), rel=2e-3, abs=1e-5)


def test_3d_turbo_spin_echo_that_stores_nothing_is_a_spin_echo():
    expected = spin_echo(PD, T1, T2, tr=3200, te=120, train=200)
    np.testing.assert_allclose(space(PD, T1, T2, tr=3200, te=120, train=200, stored=0), expected)
    stored = space(PD, T1, T2, tr=3200, te=120, train=200, stored=1)
    np.testing.assert_allclose(stored, spin_echo(PD, T1, T1, tr=3200, te=120, train=200))


def test_the_sites_of_the_test_set_are_always_the_same_and_two_use_sequences_that_training_never_draws():
    sites = held_out_sites()
    assert sites == held_out_sites()
    assert len(sites) == 8
    trained = {(c, sequence) for c, families in FAMILIES.items() for _, sequence, _ in families}
    unseen = {(c, sequence) for c, families in HELD_OUT_FAMILIES.items() for _, sequence, _ in families}
    assert not {sequence for _, sequence in unseen} & {sequence for _, sequence in trained}
    used = [{(c, p.sequence) for c, p in site.items()} & unseen for site in sites]
    assert [len(found) for found in used] == [0] * 6 + [2] * 2
    for seed in range(200):
        drawn = draw_site(np.random.default_rng(seed))
        assert {(c, p.sequence) for c, p in drawn.items()} <= trained


def test_a_sequence_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="unknown sequence 'EPI'"):
        signal(replace(REFERENCE_PROTOCOLS["T1w"], sequence="EPI"), mean_tissues(3.0))


def test_held_out_sequences_look_like_their_contrast():
    for site in held_out_sites()[-2:]:
        t1w, t2w = (
            dict(zip(TISSUES, signal(site[c], mean_tissues(site[c].field_t)), strict=True)) for c in ("T1w", "T2w")
        )
        assert t1w["white"] > t1w["grey"] > t1w["csf"]
        assert t2w["csf"] > t2w["lesion"] > t2w["grey"] > t2w["white"]


def test_a_long_repetition_time_and_no_echo_time_leave_proton_density():
    np.testing.assert_allclose(spin_echo(PD, T1, T2, tr=1e6, te=0), PD)


def test_spgr_is_largest_at_the_ernst_angle():
    ernst = np.rad2deg(np.arccos(np.exp(-20 / 850)))
    at, below, above = (spgr(1.0, 850.0, 50.0, tr=20, te=0, flip=ernst + shift) for shift in (0, -2, 2))
    assert at > below
    assert at > above


def test_flair_nulls_fluid_at_the_nulling_time():
    csf = mean_tissues(3.0).t1_ms[TISSUES.index("csf")]
    signal_of_fluid = flair(1.0, csf, np.inf, tr=9000, te=0, ti=nulling_ti_ms(3.0, 9000))
    assert signal_of_fluid == pytest.approx(0, abs=1e-6)


def test_contrasts_look_as_radiologists_know_them():
    tissue = {c: dict(zip(TISSUES, signal(p, mean_tissues(3.0)), strict=True)) for c, p in REFERENCE_PROTOCOLS.items()}
    assert tissue["T1w"]["white"] > tissue["T1w"]["grey"] > tissue["T1w"]["csf"]
    assert tissue["T2w"]["csf"] > tissue["T2w"]["grey"] > tissue["T2w"]["white"]
    assert tissue["PDw"]["grey"] > tissue["PDw"]["white"]
    assert tissue["FLAIR"]["lesion"] > tissue["FLAIR"]["grey"] > tissue["FLAIR"]["white"] > tissue["FLAIR"]["csf"]


def test_every_drawn_protocol_gives_a_finite_positive_signal():
    rng = np.random.default_rng(0)
    for _ in range(50):
        tissues = deviate(mean_tissues(float(rng.choice([1.5, 3.0]))), person_deviations(rng))
        for protocol in draw_site(rng).values():
            values = signal(protocol, tissues)
            assert np.isfinite(values).all()
            assert (values >= 0).all()


def test_slopes_carry_a_small_deviation_to_first_order():
    protocol, tissues = REFERENCE_PROTOCOLS["T1w"], mean_tissues(3.0)
    rows = signal_and_slopes(protocol, tissues)
    shift = np.zeros((3, 1), np.float32)
    shift[0] = 0.03
    np.testing.assert_allclose(signal(protocol, deviate(tissues, shift)), rows[0] + 0.03 * rows[1], rtol=2e-3)


def test_a_voxel_of_two_tissues_has_the_mean_of_their_signals():
    weights = tissue_weights(REFERENCE_PROTOCOLS["T2w"], np.zeros((3, len(TISSUES)), np.float32))
    shares = np.zeros((len(TISSUES), 3), np.float32)
    shares[TISSUES.index("csf")] = [1, 0, 0.5]
    shares[TISSUES.index("white")] = [0, 1, 0.5]
    fluid, white, mixed = render(shares, weights)
    assert white == pytest.approx(1)
    assert mixed == pytest.approx((fluid + white) / 2)


def test_only_protocols_that_fit_into_their_repetition_are_drawn():
    rng = np.random.default_rng(0)
    drawn = [draw_protocol(contrast, 3.0, rng) for contrast in CONTRASTS for _ in range(300)]
    assert all(protocol.possible for protocol in drawn)
    crowded = Protocol("T1w", "MPRAGE", 3.0, 1700, 3, ti_ms=800, flip_deg=9, spacing_ms=8.5, pulses=200)
    assert not crowded.possible  # the train would begin before the inversion
