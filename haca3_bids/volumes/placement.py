"""The position of the voxels according to a NIfTI header, and whether the header is consistent.

A header describes the geometry up to three times: sform, qform, pixdim. If these agree, any of them can be used. If
they do not, a wrong guess mirrors or stretches the head, which no later step can detect.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.openers import ImageOpener
from numpy.typing import NDArray

from haca3_bids.errors import BadInput

Affine = NDArray[np.float64]

UNIT_MM = {"meter": 1000.0, "mm": 1.0, "micron": 0.001}  # an unknown unit is assumed to be mm
SIZE_TOLERANCE = 0.01  # relative, of voxel edges: far above float32 rounding, below visible stretching
FLAT = 1e-4  # smallest determinant relative to the product of the edges
FARTHEST = 1e9  # largest entry of an affine, in any unit; squares of larger ones could overflow
ANGLE_DEG = 1.0  # tolerance of rotations and right angles
SCANNER = 1  # code of scanner coordinates; other codes may refer to a template, with stretching
CONVERT = "Convert the scan again, or correct its header."
FORCE = "--force orientation (haca3-bids, haca3 harmonize)"


@dataclass(frozen=True)
class Placement:
    """An ``affine`` (4, 4) from voxel indices to RAS+ millimetres, and objections to it."""

    affine: Affine
    doubt: BadInput | None = None  # why the header is not usable; ``affine`` is then used only if the user insists
    note: str = ""  # a contradiction in the header, and how it was resolved
    unit: str = "mm"


def placement(image: Any, path: Path) -> Placement:
    """The placement of an image of three or more axes; BadInput if a voxel has no size or position."""
    unit = _unit(image.header)
    sizes = _sizes(image, path) * UNIT_MM[unit]
    found = _believed(image.header, sizes, path.name, UNIT_MM[unit])
    return Placement(found.affine, found.doubt, found.note, unit)


def _unit(header: nib.Nifti1Header) -> str:
    try:
        unit = str(header.get_xyzt_units()[0])
    except KeyError:  # undefined codes
        return "mm"
    return unit if unit in UNIT_MM else "mm"


def _sizes(image: Any, path: Path) -> NDArray[np.float64]:
    """Edges of a voxel as stored in the file: nibabel silently corrects a pixdim of zero."""
    with ImageOpener(str(path)) as file:
        header = type(image.header).from_fileobj(file, check=False)
    sizes = np.abs(np.asarray(header["pixdim"][1:4], np.float64))
    if not np.isfinite(sizes).all() or (sizes == 0).any():
        raise BadInput(
            f"{path.name} has voxels of {_by(sizes)} in its header (pixdim); three finite lengths are required.",
            CONVERT,
        )
    return sizes


def _believed(header: nib.Nifti1Header, sizes: NDArray[np.float64], name: str, scale: float) -> Placement:
    codes = int(header["sform_code"]), int(header["qform_code"])
    in_mm = np.array([scale, scale, scale, 1.0])[:, None]
    if not any(codes):
        return Placement(header.get_base_affine() * in_mm, _says_nothing(name))
    qform = _qform(header) if codes[1] else None
    if not codes[0]:
        return Placement(_in_space(qform, name) * in_mm)
    sform = _in_space(header.get_sform(), name) * in_mm
    wrong = _distortion(sform, sizes)
    if qform is None:
        return Placement(_rigid(sform, sizes), _contradiction(name, wrong)) if wrong else Placement(sform)
    return _of_both(sform, qform * in_mm, codes, wrong, name)


def _qform(header: nib.Nifti1Header) -> Affine | None:
    """The qform; None if its quaternion is not a rotation."""
    try:
        form = np.asarray(header.get_qform(), np.float64)
    except ValueError:
        return None
    return form if np.isfinite(form).all() else None


def _in_space(form: Affine | None, name: str) -> Affine:
    """The form if it is finite and invertible; BadInput otherwise."""
    if form is None or not (np.abs(form) < FARTHEST).all():
        sentence = f"{name} has an affine that is not finite or not a rotation: its position is undefined."
        raise BadInput(sentence, CONVERT)
    if abs(np.linalg.det(form[:3, :3])) <= FLAT * np.linalg.norm(form[:3, :3], axis=0).prod():
        raise BadInput(f"{name} has an affine with zero determinant: its position is undefined.", CONVERT)
    return form


def _of_both(sform: Affine, qform: Affine, codes: tuple[int, int], wrong: str, name: str) -> Placement:
    """The form to use: the sform, or the qform if only the qform has the code of scanner coordinates."""
    if np.linalg.det(sform[:3, :3]) * np.linalg.det(qform[:3, :3]) < 0:
        return Placement(qform, _contradiction(name, "its sform and its qform disagree about left and right"))
    elsewhere = codes[0] != SCANNER and codes[1] == SCANNER
    if wrong and not elsewhere:
        return Placement(qform, _contradiction(name, wrong))
    if not wrong and (angle := _angle_deg(sform, qform)) > ANGLE_DEG:
        wrong = f"its sform and its qform are rotated against each other by {angle:.0f} degrees"
    if not wrong:
        return Placement(sform)
    believed = "qform is used, because it has the code of scanner coordinates" if elsewhere else "sform is used"
    return Placement(qform if elsewhere else sform, note=f"{wrong}; the {believed}")


def _contradiction(name: str, wrong: str) -> BadInput:
    return BadInput(
        f"{name} has a contradictory header: {wrong}.",
        f"Correct the header (compare it with the DICOM files), or use qform and pixdim with {FORCE}.",
    )


def _says_nothing(name: str) -> BadInput:
    return BadInput(
        f"{name} does not define left and right: qform_code and sform_code are both 0 in its header.",
        f"Convert the scan again from DICOM, or set a code if the form is known to be correct. {FORCE} continues with "
        "the voxel sizes alone and assumes that the first axis runs from right to left, as FSL and SPM do.",
    )


def _distortion(sform: Affine, sizes: NDArray[np.float64]) -> str:
    """A phrase if the sform is sheared or has other voxel sizes than pixdim; else empty."""
    edges = np.linalg.norm(sform[:3, :3], axis=0)
    if not np.allclose(edges, sizes, rtol=SIZE_TOLERANCE, atol=0):
        return f"its sform has voxels of {_by(edges)} mm, its pixdim of {_by(sizes)} mm"
    cosines = (sform[:3, :3] / edges).T @ (sform[:3, :3] / edges)
    shear = float(np.degrees(np.arcsin(np.abs(cosines - np.diag(np.diag(cosines))).max().clip(0, 1))))
    return f"its sform is sheared by {shear:.0f} degrees" if shear > ANGLE_DEG else ""


def _rigid(sform: Affine, sizes: NDArray[np.float64]) -> Affine:
    """The sform with the voxel sizes of pixdim and right angles, and the same first voxel."""
    out = sform.copy()
    out[:3, :3] = _directions(sform) * sizes
    return out


def _directions(affine: Affine) -> Affine:
    """The nearest orthonormal axes, possibly with a reflection, as columns."""
    left, _, right = np.linalg.svd(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    return np.asarray(left @ right, np.float64)


def _angle_deg(one: Affine, other: Affine) -> float:
    trace = np.trace(_directions(one).T @ _directions(other))
    return float(np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1))))


def _by(lengths: NDArray[np.float64]) -> str:
    return " x ".join(f"{length:.4g}" for length in lengths)
