"""The position of a head in the scanner."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

TILT_DEG, OFFSET_MM = 8.0, 10.0  # largest, of a head in the scanner


def random_pose(rng: np.random.Generator) -> NDArray[np.float64]:
    """A random position of a head in the scanner: a rigid transform (4, 4) in mm."""
    angles = np.deg2rad(rng.uniform(-TILT_DEG, TILT_DEG, 3))
    pose = np.eye(4)
    pose[:3, :3] = rotation(angles)
    pose[:3, 3] = rng.uniform(-OFFSET_MM, OFFSET_MM, 3)
    return pose


def rotation(angles_rad: NDArray[np.float64]) -> NDArray[np.float64]:
    """A rotation (3, 3) about the first, the rotated second (with opposite sign), and the rotated third axis."""
    x, y, z = angles_rad
    return np.asarray(Rotation.from_euler("XYZ", (x, -y, z)).as_matrix())
