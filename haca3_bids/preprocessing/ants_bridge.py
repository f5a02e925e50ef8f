"""Conversion between Volume (RAS) and ANTs images (LPS), and ANTs with a fixed seed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from haca3_bids.volumes.volume import Volume

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # its own inverse
THREADS = "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"


@contextmanager
def seeded_ants(seed: int) -> Iterator[Any]:
    """The module ``ants`` with a seed for ITK's samplers and one thread; seed and environment are restored afterwards.

    With another number of threads, sums differ in their last bits, and so does every output; scans and sessions run in
    parallel instead. ITK reads the number of threads once per process.
    """
    before = os.environ.get(THREADS)
    os.environ[THREADS] = "1"
    try:
        import ants
        from ants import config

        seed_before = config._random_seed
        config._random_seed = seed + 1  # with zero, ITK uses the clock
        try:
            yield ants
        finally:
            config._random_seed = seed_before
    finally:
        if before is None:
            os.environ.pop(THREADS, None)
        else:
            os.environ[THREADS] = before


def to_ants(ants: Any, volume: Volume) -> Any:
    """The ANTs image of a volume: same voxels, same place."""
    lps = RAS_TO_LPS @ volume.affine
    zooms = volume.zooms_mm
    return ants.from_numpy(
        np.ascontiguousarray(volume.data, np.float32),
        origin=tuple(lps[:3, 3]),
        spacing=tuple(zooms),
        direction=lps[:3, :3] / zooms,
    )
