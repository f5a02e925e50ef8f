"""Scans that show neck and shoulders as well."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from haca3_bids.interfaces.read import Read
from haca3_bids.preprocessing.neck import HEAD_MM, without_neck
from haca3_bids.records.files import from_json
from haca3_bids.records.preprocessing import Preprocessing
from haca3_bids.volumes.volume import Volume, load_volume, reorient, save_volume

VOXEL_MM = 5.0
VERTEX_MM = 100.0  # of what ``body`` makes


def body(below_mm: float) -> Volume:
    """A head of 20 cm, its vertex at 100 mm, and what of neck and shoulders lies within ``below_mm`` of its base."""
    height = int((2 * VERTEX_MM + 20 + below_mm) / VOXEL_MM)
    affine = np.diag([VOXEL_MM, VOXEL_MM, VOXEL_MM, 1.0])
    affine[:3, 3] = (-150, -120, -VERTEX_MM - below_mm)
    x, y, z = np.indices((60, 48, height)) * VOXEL_MM + affine[:3, 3].reshape(3, 1, 1, 1)
    head = (x / 78) ** 2 + (y / 95) ** 2 + (z / VERTEX_MM) ** 2 < 1
    neck = ((x / 55) ** 2 + ((y + 20) / 55) ** 2 < 1) & (z < -60)
    shoulders = (x / 140) ** 2 + ((y + 20) / 80) ** 2 + ((z + 220) / 70) ** 2 < 1
    noise = 5 * np.abs(np.random.default_rng(0).normal(size=head.shape))
    return Volume((np.where(head | neck | shoulders, 500, 0) + noise).astype(np.float32), affine)


@pytest.mark.parametrize("axes", ["RAS", "LPI", "SAR", "IRP", "ASL"])
def test_shoulders_are_cut_off_wherever_the_header_says_that_up_is(axes: str) -> None:
    whole = reorient(body(180), axes)
    kept, sentence = without_neck(whole, "sub-01_T1w.nii.gz")
    shown = re.match(r"sub-01_T1w\.nii\.gz shows (\d+) cm of the body", sentence)
    assert shown is not None
    assert float(shown[1]) == pytest.approx(38, abs=1.5)
    corners = np.stack([kept.affine @ [*corner, 1] for corner in ((0, 0, 0), np.array(kept.shape) - 1)])
    assert corners[:, 2].min() == pytest.approx(VERTEX_MM - HEAD_MM, abs=10)
    assert corners[:, 2].max() == pytest.approx(VERTEX_MM + 20, abs=10)
    back = np.rint(np.linalg.inv(whole.affine) @ kept.affine[:, 3])[:3].astype(int)
    assert kept.data[0, 0, 0] == whole.data[tuple(back)]


@pytest.mark.parametrize("below_mm", [0, 30])
def test_a_head_is_left_whole(below_mm: float) -> None:
    whole = body(below_mm)
    assert without_neck(whole, "") == (whole, "")


def test_a_head_whose_header_takes_its_back_for_its_base_is_left_whole() -> None:
    whole = body(0)
    lying = Volume(whole.data, np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]]) @ whole.affine)
    assert without_neck(lying, "") == (lying, "")


def test_registration_is_given_the_head_and_the_page_says_so(tmp_path: Path) -> None:
    save_volume(body(180), tmp_path / "sub-01_T1w.nii.gz")
    (tmp_path / "read").mkdir()
    done = Read(in_file=str(tmp_path / "sub-01_T1w.nii.gz"), contrast="T1w").run(cwd=str(tmp_path / "read"))
    copy = load_volume(done.outputs.out_file)
    assert copy.shape[2] * copy.zooms_mm[2] == pytest.approx(HEAD_MM + 20, abs=10)
    assert load_volume(done.outputs.blank, may_be_constant=True).has_grid_of(copy)
    assert "of the body" in from_json(done.outputs.facts, Preprocessing).contrasts["T1w"].remarks[0]
