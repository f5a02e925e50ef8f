"""The position of a head in the scanner."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TILT_DEG, OFFSET_MM = 8.0, 10.0  # largest, of a head in the scanner


def random_pose(rng: np.random.Generator) -> NDArray[np.float64]:
    """A rigid transform of scanner space, (4, 4), in mm: how this head lies in this scanner."""
    angles = np.deg2rad(rng.uniform(-TILT_DEG, TILT_DEG, 3))
    pose = np.eye(4)
    for axis, angle in enumerate(angles):
        i, j = (k for k in range(3) if k != axis)
        turn = np.eye(4)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        pose = pose @ turn
    pose[:3, 3] = rng.uniform(-OFFSET_MM, OFFSET_MM, 3)
    return pose
