"""Images from an anatomy and a protocol: each voxel's signal is the mean of the signals of its tissues."""

import numpy as np
from numpy.typing import NDArray

from haca3_bids.arrays import Array
from haca3_bids.physics.anatomy import FULL
from haca3_bids.physics.scanner import smooth_field
from haca3_bids.physics.signal import Protocol, signal_and_slopes
from haca3_bids.physics.tissues import SPREAD_WITHIN_TISSUE, WHITE, deviate, mean_tissues

TEXTURE_CELLS = (12, 60)  # periods of the smooth and of the fine texture along an axis


def tissue_weights(protocol: Protocol, deviations: Array) -> Array:
    """Signal and its slopes of every tissue of one person, white matter = 1: shape (4, tissues)."""
    rows = signal_and_slopes(protocol, deviate(mean_tissues(protocol.field_t), deviations))
    out: Array = (rows / rows[0, WHITE]).astype(np.float32)
    return out


def texture(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Local logarithmic deviations of T1, T2 and proton density, shape (3, *shape)."""
    fields = [sum(smooth_field(shape, cells, rng) for cells in TEXTURE_CELLS) / 2**0.5 for _ in range(3)]
    out: Array = (SPREAD_WITHIN_TISSUE * np.stack(fields) * np.array([1, 1, 0.5]).reshape(3, *[1] * len(shape))).astype(
        np.float32
    )
    return out


def render(shares: NDArray[np.uint8] | Array, weights: Array, local: Array | None = None) -> Array:
    """The noise-free image of fractions ``shares`` (tissues, ...), with ``local`` texture (3, ...) to first order.

    ``weights`` are ``tissue_weights``; fractions of integer type are in 1/255. Negative values are set to zero.
    """
    parts = np.tensordot(weights, shares.astype(np.float32), axes=1)
    if np.issubdtype(shares.dtype, np.integer):
        parts /= FULL
    image = parts[0] if local is None else parts[0] + (parts[1:] * local).sum(axis=0)
    out: Array = np.maximum(image, 0).astype(np.float32)
    return out
