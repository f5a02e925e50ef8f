"""The signal equations against brute force and closed-form limits."""

import numpy as np
import pytest

from haca3_bids.physics.protocols import REFERENCE_PROTOCOLS, draw_site, nulling_ti_ms
from haca3_bids.physics.render import render, tissue_weights
from haca3_bids.physics.signal import flair, mprage, signal, signal_and_slopes, spgr, spin_echo
from haca3_bids.physics.tissues import TISSUES, deviate, mean_tissues, person_deviations

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
