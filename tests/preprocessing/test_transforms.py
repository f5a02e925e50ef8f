from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from scipy.spatial.transform import Rotation

from haca3_bids.errors import BadInput
from haca3_bids.preprocessing.transforms import (
    apply,
    displacement_mm,
    inverse,
    read_itk,
    read_rigid,
    rigid_part,
    rotation_deg,
    scales,
    similarity_matrix,
    write_itk,
)

ANYWHERE = similarity_matrix((0.3, -0.2, 0.7), (11.0, -4.0, 60.0), 0.1, (1.0, 2.0, 3.0))


def test_an_itk_file_gives_back_every_bit(tmp_path: Path) -> None:
    write_itk(ANYWHERE, tmp_path / "transform.txt")
    np.testing.assert_array_equal(read_itk(tmp_path / "transform.txt"), ANYWHERE)


def test_ants_reads_the_file_and_moves_points_as_the_matrix_does(tmp_path: Path) -> None:
    import ants

    write_itk(ANYWHERE, tmp_path / "transform.txt")
    transform = ants.read_transform(str(tmp_path / "transform.txt"))
    ras = np.array([10.0, -20.0, 30.0])
    moved = np.array(transform.apply_to_point((-ras[0], -ras[1], ras[2])))
    np.testing.assert_allclose(moved * [-1, -1, 1], apply(ANYWHERE, ras[None])[0], atol=1e-9)


def test_euler_and_versor_files_are_read(tmp_path: Path) -> None:
    import ants

    for kind, numbers, fixed in (
        ("Euler3DTransform_double_3_3", (0.2, -0.1, 0.4, 3.0, -5.0, 7.0), "4 -9 2"),
        ("Euler3DTransform_double_3_3", (0.2, -0.1, 0.4, 3.0, -5.0, 7.0), "4 -9 2 0"),
        ("Euler3DTransform_double_3_3", (0.2, -0.1, 0.4, 3.0, -5.0, 7.0), "4 -9 2 1"),  # another order of rotations
        ("VersorRigid3DTransform_double_3_3", (0.1, -0.2, 0.15, 3.0, -5.0, 7.0), "4 -9 2"),
    ):
        path = tmp_path / f"{kind}.tfm"
        path.write_text(
            f"#Insight Transform File V1.0\n#Transform 0\nTransform: {kind}\n"
            f"Parameters: {' '.join(map(str, numbers))}\nFixedParameters: {fixed}\n"
        )
        expected = np.array(ants.read_transform(str(path)).apply_to_point((10.0, 20.0, 30.0)))
        found = apply(read_itk(path), np.array([[-10.0, -20.0, 30.0]]))[0] * [-1, -1, 1]
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["AffineTransform_double_3_3", "AffineTransform_float_3_3", "Euler3DTransform"])
def test_the_binary_files_of_ants_are_read_as_ants_reads_them(tmp_path: Path, kind: str) -> None:
    import ants

    path = tmp_path / "0GenericAffine.mat"
    numbers = np.array([0.9, 0.1, -0.2, -0.1, 1.05, 0.3, 0.2, -0.3, 0.95, 3.0, -5.0, 7.0])
    if kind.startswith("Euler"):
        text = "Euler3DTransform_double_3_3\nParameters: 0.2 -0.1 0.4 3 -5 7\nFixedParameters: 4 -9 2\n"
        (tmp_path / "euler.tfm").write_text(f"#Insight Transform File V1.0\n#Transform 0\nTransform: {text}")
        transform = ants.read_transform(str(tmp_path / "euler.tfm"))
    else:
        transform = ants.new_ants_transform(precision=kind.split("_")[1], parameters=numbers)
        transform.set_fixed_parameters(np.array([4.0, -9.0, 2.0]))
    ants.write_transform(transform, str(path))
    expected = np.array(transform.apply_to_point((10.0, 20.0, 30.0)))
    found = apply(read_itk(path), np.array([[-10.0, -20.0, 30.0]]))[0] * [-1, -1, 1]
    np.testing.assert_allclose(found, expected, atol=1e-5)


FSL = "1 0 0 4\n0 1 0 2\n0 0 1 3\n0 0 0 1\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (FSL.encode(), "as FSL writes.*c3d_affine_tool"),
        (b"", "is not an ITK file"),
        (b"no transform", "is not an ITK file"),
        (bytes(200), "is not an ITK file"),
        (bytes(range(256)) * 4, "is not an ITK file"),
    ],
)
def test_a_mat_file_of_another_program_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.mat"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=words):
        read_itk(path)


def test_a_mat_file_of_other_variables_is_refused(tmp_path: Path) -> None:
    savemat(tmp_path / "x.mat", {"a": np.eye(3), "b": np.eye(3), "fixed": np.zeros(3)}, format="4")
    with pytest.raises(BadInput, match="it holds a, b, fixed"):
        read_itk(tmp_path / "x.mat")


@pytest.mark.parametrize(
    "content", ["", "no transform", "Transform: BSplineTransform\nParameters: 1 2\nFixedParameters: 0"]
)
def test_any_other_file_is_refused_with_its_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "warp.txt"
    path.write_text(content)
    with pytest.raises(BadInput, match=r"warp\.txt is not an ITK file"):
        read_itk(path)


@pytest.mark.parametrize(
    ("linear", "words"),
    [
        (np.diag([1.15, 1.15, 1.15]), "scales or shears, with factors of 1.15 to 1.15"),
        (np.diag([1.0, 1.0, 0.97]), "scales or shears, with factors of 0.97 to 1.00"),
        (np.eye(3) + 0.05 * np.eye(3, k=1), "scales or shears"),
        (np.diag([-1.0, 1.0, 1.0]), "mirrors left and right"),
        (np.diag([np.nan, 1.0, 1.0]), "not finite"),
    ],
    ids=["larger", "flatter", "sheared", "mirrored", "not a number"],
)
def test_only_a_rigid_transform_is_taken_as_one(tmp_path: Path, linear: np.ndarray, words: str) -> None:
    rigid, affine = similarity_matrix((0.3, -0.2, 0.7), (11.0, -4.0, 60.0)), np.eye(4)
    affine[:3, :3] = linear
    write_itk(rigid, tmp_path / "rigid.txt")
    write_itk(rigid @ affine, tmp_path / "affine.txt")
    np.testing.assert_array_equal(read_rigid(tmp_path / "rigid.txt"), rigid)
    with pytest.raises(BadInput, match=rf"affine\.txt .*{words}.*only a rigid") as caught:
        read_rigid(tmp_path / "affine.txt")
    assert "affine.txt" in caught.value.hint


def test_the_rigid_part_keeps_the_centre_and_the_size() -> None:
    stretched = ANYWHERE @ np.diag([1.1, 0.9, 1.0, 1.0])
    centre = np.array([5.0, -18.0, 8.0])
    rigid = rigid_part(stretched, centre)
    np.testing.assert_allclose(scales(rigid), 1, atol=1e-12)
    np.testing.assert_allclose(apply(rigid, centre[None]), apply(stretched, centre[None]), atol=1e-9)


def test_the_rigid_part_of_a_similarity_is_its_rotation() -> None:
    np.testing.assert_allclose(
        rigid_part(ANYWHERE, np.zeros(3))[:3, :3], Rotation.from_rotvec((0.3, -0.2, 0.7)).as_matrix(), atol=1e-12
    )


def test_angle_and_displacement_are_those_that_were_put_in() -> None:
    matrix = similarity_matrix(np.radians((0, 30, 0)), (3.0, 4.0, 0.0), 0.0, (1.0, 1.0, 1.0))
    assert rotation_deg(matrix) == pytest.approx(30)
    assert displacement_mm(matrix, (1.0, 1.0, 1.0)) == pytest.approx(5)
    np.testing.assert_allclose(inverse(matrix) @ matrix, np.eye(4), atol=1e-12)
