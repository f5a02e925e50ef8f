"""Signal equations in closed form: tissue values and a protocol in, signal out. Times in ms, angles in degrees.

All functions take arrays or numbers and return the magnitude of the transverse magnetization at the echo, in units of
proton density.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from haca3_bids.arrays import Array
from haca3_bids.physics.tissues import TissueTable, deviate

STEP = 0.02  # of logarithms, for derivatives


def spin_echo(pd: Array, t1: Array, t2: Array, *, tr: float, te: float, train: float = 0.0) -> Array:
    """Spin echo, or turbo spin echo with an echo train of ``train`` ms: recovery only lasts from its end.

    Bernstein, King, Zhou, Handbook of MRI Pulse Sequences (2004), eq. 14.55 and section 16.4.
    """
    out: Array = pd * (1 - np.exp(-(tr - train) / t1)) * np.exp(-te / t2)
    return out


def flair(pd: Array, t1: Array, t2: Array, *, tr: float, te: float, ti: float, train: float = 0.0) -> Array:
    """Inversion recovery turbo spin echo. Bernstein et al. (2004), eq. 14.58 (magnitude)."""
    longitudinal = 1 - 2 * np.exp(-ti / t1) + np.exp(-(tr - train) / t1)
    out: Array = pd * np.abs(longitudinal) * np.exp(-te / t2)
    return out


def spgr(pd: Array, t1: Array, t2star: Array, *, tr: float, te: float, flip: float) -> Array:
    """Spoiled gradient echo in steady state (Ernst and Anderson 1966; Bernstein et al. 2004, eq. 14.19)."""
    e1, angle = np.exp(-tr / t1), np.deg2rad(flip)
    out: Array = pd * np.sin(angle) * (1 - e1) / (1 - np.cos(angle) * e1) * np.exp(-te / t2star)
    return out


def mprage(
    pd: Array, t1: Array, t2star: Array, *, tr: float, te: float, ti: float, flip: float, spacing: float, pulses: int
) -> Array:
    """Magnetization-prepared rapid gradient echo in its steady state, k-space centre in the middle of the train.

    Inversion, recovery, ``pulses`` excitations of ``flip`` every ``spacing`` ms, recovery until ``tr``; ``ti`` is from
    the inversion to the centre. Each stage maps longitudinal magnetization m to a m + b, and the steady state is the
    fixed point of their composition (Deichmann et al., NeuroImage 12:112, 2000; Wang et al., PLoS ONE 9:e96899, 2014).
    """
    angle = np.deg2rad(flip)
    before, after = recoveries_ms(tr, ti, spacing, pulses)
    e1 = np.exp(-spacing / t1)
    decay = np.cos(angle) * e1
    driven = (1 - e1) / (1 - decay)  # the steady state of the train alone
    half = decay ** (pulses / 2)
    e_before, e_after = np.exp(-before / t1), np.exp(-after / t1)
    # start of the train: m0 = a m_end + b, with inversion of what recovered after the last train
    a = -e_before * e_after
    b = 1 - e_before - e_before * (1 - e_after)
    start = (a * driven * (1 - half**2) + b) / (1 - a * half**2)
    centre = driven + (start - driven) * half
    out: Array = pd * np.sin(angle) * np.abs(centre) * np.exp(-te / t2star)
    return out


def recoveries_ms(tr: float, ti: float, spacing: float, pulses: int) -> tuple[float, float]:
    """From the inversion of an MPRAGE to its excitations, and from these to the next inversion."""
    before = ti - spacing * pulses / 2
    return before, tr - before - spacing * pulses


def mdeft(pd: Array, t1: Array, t2star: Array, *, te: float, ti: float, flip: float) -> Array:
    """Modified driven equilibrium: saturation, recovery, inversion halfway, recovery, first excitation at ``ti``.

    Because of the saturation, the signal does not depend on the repetition time; k-space is read from its centre
    outwards (Ugurbil et al., Magn Reson Q 9:177, 1993; Deichmann et al., NeuroImage 21:757, 2004).
    """
    halfway = np.exp(-ti / 2 / t1)
    recovered = 1 - halfway
    longitudinal = 1 - (1 + recovered) * halfway
    out: Array = pd * np.sin(np.deg2rad(flip)) * np.abs(longitudinal) * np.exp(-te / t2star)
    return out


def space(pd: Array, t1: Array, t2: Array, *, tr: float, te: float, train: float, stored: float) -> Array:
    """3D turbo spin echo with refocusing pulses far below 180 degrees.

    During the fraction ``stored`` of the echo time, magnetization is longitudinal and decays with T1 instead of T2
    (Busse et al., MRM 55:1030, 2006; Mugler, JMRI 39:745, 2014).
    """
    decay = np.exp(-te * ((1 - stored) / t2 + stored / t1))
    out: Array = pd * (1 - np.exp(-(tr - train) / t1)) * decay
    return out


@dataclass(frozen=True)
class Protocol:
    """The protocol of one contrast at one site; parameters that the sequence does not have are zero."""

    contrast: str  # T1w, T2w, PDw, FLAIR
    sequence: str  # a key of SEQUENCES
    field_t: float
    tr_ms: float
    te_ms: float
    ti_ms: float = 0.0
    flip_deg: float = 0.0
    spacing_ms: float = 0.0  # of the excitations of a gradient-echo train
    pulses: int = 0
    train_ms: float = 0.0  # of a turbo spin echo
    stored: float = 0.0  # fraction of the echo time with longitudinal magnetization, in 3D turbo spin echo

    @property
    def possible(self) -> bool:
        """Whether no part is negative, and all fit into the repetition time."""
        if min(self.te_ms, self.ti_ms, self.spacing_ms, self.pulses, self.train_ms, self.stored) < 0:
            return False
        if self.sequence == "MPRAGE":
            return min(recoveries_ms(self.tr_ms, self.ti_ms, self.spacing_ms, self.pulses)) >= 0
        return self.ti_ms + max(self.te_ms, self.train_ms) < self.tr_ms


def signal(protocol: Protocol, tissues: TissueTable) -> Array:
    """The signal of every tissue under a protocol, shape (tissues,)."""
    p, t = protocol, tissues
    if p.sequence not in SEQUENCES:
        raise ValueError(f"unknown sequence {p.sequence!r}")
    return SEQUENCES[p.sequence](p, t)


SEQUENCES: dict[str, Callable[[Protocol, TissueTable], Array]] = {
    "SE": lambda p, t: spin_echo(t.pd, t.t1_ms, t.t2_ms, tr=p.tr_ms, te=p.te_ms, train=p.train_ms),
    "FLAIR": lambda p, t: flair(t.pd, t.t1_ms, t.t2_ms, tr=p.tr_ms, te=p.te_ms, ti=p.ti_ms, train=p.train_ms),
    "SPGR": lambda p, t: spgr(t.pd, t.t1_ms, t.t2star_ms, tr=p.tr_ms, te=p.te_ms, flip=p.flip_deg),
    "MPRAGE": lambda p, t: mprage(
        t.pd, t.t1_ms, t.t2star_ms, tr=p.tr_ms, te=p.te_ms, ti=p.ti_ms, flip=p.flip_deg,
        spacing=p.spacing_ms, pulses=p.pulses,
    ),
    "MDEFT": lambda p, t: mdeft(t.pd, t.t1_ms, t.t2star_ms, te=p.te_ms, ti=p.ti_ms, flip=p.flip_deg),
    "SPACE": lambda p, t: space(
        t.pd, t.t1_ms, t.t2_ms, tr=p.tr_ms, te=p.te_ms, train=p.train_ms, stored=p.stored
    ),
}  # fmt: skip


def signal_and_slopes(protocol: Protocol, tissues: TissueTable) -> Array:
    """The signal and its derivatives by ln T1, ln T2 (with T2*), ln PD: shape (4, tissues).

    They are used for texture: signal(x) = row 0 + sum of row i times the local logarithmic deviation i.
    """
    rows = [signal(protocol, tissues)]
    for which in range(3):
        shift = np.zeros((3, 1), np.float32)
        shift[which] = STEP
        up, down = (signal(protocol, deviate(tissues, sign * shift)) for sign in (1, -1))
        rows.append((up - down) / (2 * STEP))
    return np.stack(rows).astype(np.float32)
