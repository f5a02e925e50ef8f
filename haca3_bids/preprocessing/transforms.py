"""Transforms as 4 x 4 matrices in RAS millimetres, and ITK's files.

A matrix *pulls*: it maps a point of the fixed image (the grid to be filled) to the point of the moving image whose
intensity belongs there. ITK files contain the same map in LPS; `antsApplyTransforms -t FILE` accepts them unchanged.
"""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.io import loadmat, whosmat
from scipy.io.matlab import MatReadError
from scipy.spatial.transform import Rotation

from haca3_bids.errors import BadInput
from haca3_bids.preprocessing.ants_bridge import RAS_TO_LPS

Matrix = NDArray[np.float64]
RIGID_TOLERANCE = 0.01  # largest deviation of a rigid transform's scale factors from 1


def similarity_matrix(
    rotation: ArrayLike, translation_mm: ArrayLike, log_scale: float = 0.0, centre: ArrayLike = (0.0, 0.0, 0.0)
) -> Matrix:
    """Rotation vector (radians) and scaling about ``centre``, then translation; rigid where ``log_scale`` is 0."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.exp(log_scale) * Rotation.from_rotvec(rotation).as_matrix()
    matrix[:3, 3] = np.asarray(centre) + np.asarray(translation_mm) - matrix[:3, :3] @ np.asarray(centre)
    return matrix


def inverse(matrix: Matrix) -> Matrix:
    """The inverse transform."""
    return np.asarray(np.linalg.inv(matrix), np.float64)


def rigid_part(matrix: Matrix, centre: ArrayLike) -> Matrix:
    """The rigid transform nearest to an affine one that maps ``centre`` to the same point."""
    left, _, right = np.linalg.svd(matrix[:3, :3])
    rotation = left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right
    centre = np.asarray(centre, np.float64)
    rigid = np.eye(4)
    rigid[:3, :3] = rotation
    rigid[:3, 3] = matrix[:3, :3] @ centre + matrix[:3, 3] - rotation @ centre
    return rigid


def mean_rigid(
    matrices: Sequence[Matrix], centre: NDArray[np.float64], weights: Sequence[float] | None = None
) -> Matrix:
    """The mean of several rigid transforms: the mean rotation, and the mean displacement of ``centre``."""
    rotation = Rotation.from_matrix([matrix[:3, :3] for matrix in matrices]).mean(weights).as_matrix()
    moved = np.average([matrix[:3, :3] @ centre + matrix[:3, 3] for matrix in matrices], axis=0, weights=weights)
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = rotation, moved - rotation @ centre
    return out


def scales(matrix: Matrix) -> NDArray[np.float64]:
    """The three principal scale factors, shape (3,), descending; ones for a rigid matrix."""
    return np.asarray(np.linalg.svd(matrix[:3, :3], compute_uv=False), np.float64)


def rotation_deg(matrix: Matrix) -> float:
    """Angle of the rotation, in degrees."""
    return float(np.degrees(Rotation.from_matrix(rigid_part(matrix, np.zeros(3))[:3, :3]).magnitude()))


def displacement_mm(matrix: Matrix, centre: ArrayLike) -> float:
    """The displacement of ``centre``, in millimetres."""
    centre = np.asarray(centre, np.float64)
    return float(np.linalg.norm(matrix[:3, :3] @ centre + matrix[:3, 3] - centre))


def apply(matrix: Matrix, points: NDArray[Any]) -> NDArray[np.float64]:
    """The transformed points, shape (n, 3)."""
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def write_itk(matrix: Matrix, path: str | os.PathLike[str]) -> None:
    """Write a matrix as an ITK text file (AffineTransform_double_3_3), to the last bit."""
    lps = RAS_TO_LPS @ matrix @ RAS_TO_LPS
    numbers = " ".join(repr(float(number)) for number in [*lps[:3, :3].ravel(), *lps[:3, 3]])
    Path(path).write_text(
        "#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\n"
        f"Parameters: {numbers}\nFixedParameters: 0 0 0\n"
    )


def read_itk(path: str | os.PathLike[str]) -> Matrix:
    """The matrix in an ITK file of one linear transform, as text or as MATLAB's; raises BadInput for any other."""
    path = Path(path)
    try:
        content = path.read_bytes()
        is_text = path.suffix != ".mat" or b"Transform:" in content
        kind, numbers, fixed = (_fields_of_text if is_text else _fields_of_matlab)(content)
        centre = fixed[:3]
        linear, translation = _linear_part(kind, numbers, turns_z_y_x=bool(fixed[3:].any()))
    except (OSError, LookupError, TypeError, ValueError, MatReadError, NotImplementedError) as error:
        found, hint = str(error), "Give a file that antsRegistration, fMRIPrep or this program wrote."
        if _is_table(path):
            found, hint = "a table of numbers, as FSL writes it", "Convert it with c3d_affine_tool -fsl2ras -oitk."
        raise BadInput(f"{path.name} is not an ITK file with one linear transform ({found}).", hint) from error
    lps = np.eye(4)
    lps[:3, :3] = linear
    lps[:3, 3] = translation + centre - linear @ centre
    return np.asarray(RAS_TO_LPS @ lps @ RAS_TO_LPS, np.float64)


def read_rigid(path: str | os.PathLike[str]) -> Matrix:
    """The matrix in an ITK file of one rigid transform; BadInput for one that scales, shears or mirrors, or others."""
    matrix = read_itk(path)
    found, hint = "", f"Give its rigid part, or remove {Path(path).name} so that the transform is estimated."
    if not np.isfinite(matrix).all():
        found = "has numbers that are not finite"
    elif np.linalg.det(matrix[:3, :3]) <= 0:
        found = "mirrors left and right"
    elif np.abs(scales(matrix) - 1).max() > RIGID_TOLERANCE:
        found = f"scales or shears, with factors of {scales(matrix).min():.2f} to {scales(matrix).max():.2f}"
    if found:
        raise BadInput(f"{Path(path).name} {found}; only a rigid transform can be used.", hint)
    return matrix


def _fields_of_text(content: bytes) -> tuple[str, NDArray[np.float64], NDArray[np.float64]]:
    """Kind, parameters and fixed parameters."""
    fields: dict[str, str] = {}
    for line in content.decode().splitlines():
        key, separator, value = line.partition(":")
        if separator and fields.setdefault(key.strip(), value) != value:
            raise ValueError(f"two lines {key}")
    numbers = np.array([float(number) for number in fields["Parameters"].split()])
    return (
        fields["Transform"].strip(),
        numbers,
        np.array([float(number) for number in fields["FixedParameters"].split()]),
    )


def _fields_of_matlab(content: bytes) -> tuple[str, NDArray[np.float64], NDArray[np.float64]]:
    """The same from the binary files ``*.mat`` of ANTs: one variable is named after the kind, the other "fixed"."""
    names = [name for name, _, _ in whosmat(io.BytesIO(content))]
    if len(names) != 2 or names.count("fixed") != 1:
        raise ValueError(f"it holds {', '.join(names) or 'nothing'}")
    kind = next(name for name in names if name != "fixed")
    values = loadmat(io.BytesIO(content))
    return kind, np.asarray(values[kind], np.float64).ravel(), np.asarray(values["fixed"], np.float64).ravel()


def _is_table(path: Path) -> bool:
    """Whether a file holds four lines of four numbers."""
    try:
        return [len([float(word) for word in line.split()]) for line in path.read_text().split("\n")[:4]] == [4] * 4
    except (OSError, ValueError):
        return False


def _linear_part(
    kind: str, numbers: NDArray[np.float64], *, turns_z_y_x: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if kind.startswith(("AffineTransform", "MatrixOffsetTransformBase")) and numbers.size == 12:
        return numbers[:9].reshape(3, 3), numbers[9:]
    if kind.startswith("Euler3DTransform") and numbers.size == 6:
        x, y, z = numbers[:3]  # ITK composes Rz Rx Ry, or Rz Ry Rx where the fourth fixed parameter (ComputeZYX) is set
        order, angles = ("ZYX", [z, y, x]) if turns_z_y_x else ("ZXY", [z, x, y])
        return Rotation.from_euler(order, angles).as_matrix(), numbers[3:]
    if kind.startswith("VersorRigid3D") and numbers.size == 6:
        real = np.sqrt(max(0.0, 1.0 - float((numbers[:3] ** 2).sum())))
        return Rotation.from_quat([*numbers[:3], real]).as_matrix(), numbers[3:]
    raise ValueError(f"a {kind} with {numbers.size} parameters")
