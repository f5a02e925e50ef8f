"""The position of a head in the scanner."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

TILT_DEG, OFFSET_MM = 8.0, 10.0  # largest, of a head in the scanner


def random_pose(rng: np.random.Generator) -> NDArray[np.float64]:
    """A rigid transform of scanner space, (4, 4), in mm: how this head lies in this scanner."""
    angles = np.deg2rad(rng.uniform(-TILT_DEG, TILT_DEG, 3))
    pose = np.eye(4)
    pose[:3, :3] = rotation(angles)
    pose[:3, 3] = rng.uniform(-OFFSET_MM, OFFSET_MM, 3)
    return pose


def rotation(angles_rad: NDArray[np.float64]) -> NDArray[np.float64]:
    """A rotation about the first, then the turned second (the other way round), then the third axis: (3, 3)."""
    x, y, z = angles_rad
    return np.asarray(Rotation.from_euler("XYZ", (x, -y, z)).as_matrix())
