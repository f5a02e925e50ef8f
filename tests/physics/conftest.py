"""A head made of ellipsoids, with ventricles where people have them: enough for ageing, lesions and cohorts."""

import numpy as np
import pytest

from haca3_bids.physics.anatomy import AFFINE, FULL, SHAPE, Anatomy
from haca3_bids.physics.tissues import TISSUES


def ball(centre_mm, radii_mm):
    """The squared distance from a point of MNI space, in radii: below one inside."""
    total = 0
    for axis, (centre, radius) in enumerate(zip(centre_mm, radii_mm, strict=True)):
        at = AFFINE[axis, axis] * np.arange(SHAPE[axis], dtype=np.float32) + AFFINE[axis, 3]
        total = total + (((at - centre) / radius) ** 2).reshape([-1 if a == axis else 1 for a in range(3)])
    return total


@pytest.fixture(scope="session")
def radius_of_head():
    """How far every voxel is from the middle of ``round_head``, in radii of its brain."""
    return np.sqrt(ball((0, -18, 18), (66, 82, 62)))


@pytest.fixture(scope="session")
def round_head(radius_of_head):
    """White matter in a shell of cortex in a shell of fluid, two ventricles, bone and fat."""
    return round_head_with(radius_of_head, (7, 30, 9))


@pytest.fixture(scope="session")
def narrow_head(radius_of_head):
    """The same head with narrow ventricles."""
    return round_head_with(radius_of_head, (4, 28, 4))


def round_head_with(radius, ventricle_mm):
    shares = np.zeros((len(TISSUES), *SHAPE), np.uint8)
    shells = (("white", 0, 0.88), ("grey", 0.88, 0.93), ("csf", 0.93, 0.97), ("bone", 0.97, 1.03), ("fat", 1.03, 1.08))
    for name, low, high in shells:
        shares[TISSUES.index(name)][(radius >= low) & (radius < high)] = FULL
    inside = (ball((13, -8, 17), ventricle_mm) < 1) | (ball((-13, -8, 17), ventricle_mm) < 1)
    shares[:, inside] = 0
    shares[TISSUES.index("csf"), inside] = FULL
    return Anatomy(shares, "round")
