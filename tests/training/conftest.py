"""Two heads made of ellipsoids: enough for the simulator, made in a second."""

import numpy as np
import pytest

from haca3_bids.physics.anatomy import FULL, SHAPE, Anatomy
from haca3_bids.physics.tissues import TISSUES


def ellipsoid_head(size):
    x, y, z = (np.arange(n, dtype=np.float32) - n / 2 for n in SHAPE)
    radius = np.sqrt((x / 75)[:, None, None] ** 2 + (y / 92)[None, :, None] ** 2 + (z / 80)[None, None, :] ** 2) / size
    shares = np.zeros((len(TISSUES), *SHAPE), np.uint8)
    shells = (("white", 0.15, 0.7), ("csf", 0, 0.15), ("grey", 0.7, 0.82), ("bone", 0.82, 0.9), ("fat", 0.9, 1.0))
    for name, low, high in shells:
        shares[TISSUES.index(name)][(radius >= low) & (radius < high)] = FULL
    return Anatomy(shares, f"ellipsoid-{size}")


@pytest.fixture(scope="session")
def heads():
    return [ellipsoid_head(1.0), ellipsoid_head(0.9)]
