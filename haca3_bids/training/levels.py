"""What the simulator tells the networks for a start: levels for beta, a code for theta.

Beta's levels are tissues, and mixtures of two tissues in one voxel.

The decoder sees beta as one number a voxel. With five pure tissues every border is a staircase: replacing each level by
its median intensity then gives 6 to 11 dB less than with the mixtures (``benchmarks/anatomy_levels.py``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from haca3_bids.physics.signal import Protocol, signal
from haca3_bids.physics.tissues import TISSUES, mean_tissues

Mixture = Mapping[str, float]  # kind of tissue: share of the voxel

KINDS: Mapping[str, Mixture] = {  # what each tissue counts as
    "csf": {"csf": 1}, "eye": {"csf": 1}, "grey": {"grey": 1}, "deep_grey": {"grey": 0.7, "white": 0.3},
    "white": {"white": 1}, "lesion": {"lesion": 1}, "muscle": {"soft": 1}, "skin": {"soft": 1}, "dura": {"soft": 1},
    "fat": {"fat": 1}, "marrow": {"marrow": 1}, "bone": {"air": 1}, "vessel": {"air": 1},
}  # fmt: skip


def _between(one: str, other: str, *shares: float) -> list[Mixture]:
    return [{one: 1 - share, other: share} for share in shares]


LEVELS: tuple[Mixture, ...] = (  # neighbours in this order look alike under most contrasts
    {"air": 1}, *_between("air", "csf", 1 / 3, 2 / 3), {"csf": 1}, *_between("csf", "grey", 0.25, 0.5, 0.75),
    {"grey": 1}, *_between("grey", "white", 0.25, 0.5, 0.75), {"white": 1}, {"lesion": 1},
    *_between("csf", "white", 0.5), {"soft": 1}, *_between("soft", "air", 1 / 3, 2 / 3),
    *_between("air", "fat", 1 / 3, 2 / 3), *_between("soft", "fat", 1 / 3, 2 / 3), {"fat": 1},
    *_between("fat", "marrow", 0.5), {"marrow": 1}, *_between("marrow", "air", 0.5),
)  # fmt: skip

_NAMES = sorted({name for mixture in LEVELS for name in mixture})
_KIND_OF_TISSUE = np.array([[KINDS[tissue].get(name, 0) for tissue in TISSUES] for name in _NAMES], np.float32)
_PROTOTYPES = np.array([[mixture.get(name, 0) for name in _NAMES] for mixture in LEVELS], np.float32)
_AIR = _NAMES.index("air")


def tissue_levels(shares: NDArray[np.float32]) -> NDArray[np.int64]:
    """The number of the most similar of LEVELS, (h, w), of tissue shares (tissues, h, w); what is missing is air."""
    kinds = np.tensordot(_KIND_OF_TISSUE, shares, (1, 0))
    kinds[_AIR] += np.clip(1 - shares.sum(axis=0), 0, 1)
    unlike = (_PROTOTYPES**2).sum(axis=1)[:, None, None] - 2 * np.tensordot(_PROTOTYPES, kinds, (1, 0))
    out: NDArray[np.int64] = unlike.argmin(axis=0)
    return out


def contrast_code(protocol: Protocol) -> tuple[float, float]:
    """Where theta may begin: signal of grey (logarithmic) and of fluid relative to white matter, scaled to some tens.

    The decoder's instance norms remove what is constant over the plane, so theta only acts through the plane's borders
    and must be large to be felt; the released weights use values between -20 and 20 as well.
    """
    signals = dict(zip(TISSUES, signal(protocol, mean_tissues(protocol.field_t)).tolist(), strict=True))
    grey = 20 * math.log(signals["grey"] / signals["white"])
    fluid = 8 * signals["csf"] / signals["white"] - 10
    return max(-20.0, min(20.0, grey)), max(-20.0, min(20.0, fluid))
