"""Headers that broke other tools: refused with a sentence of their own, or read rightly."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from made_scans import (
    AFFINE,
    MIRRORED,
    NAME,
    SHAPE,
    VOXEL_MM,
    Array,
    chosen,
    head,
    pixdim,
    read,
    select,
    sheared,
    stretched,
    turned,
    write,
)

from haca3_bids.bids.sidecars import preproc_sidecar
from haca3_bids.errors import BadInput
from haca3_bids.execution.select import select_sessions
from haca3_bids.quality.verdict import judge
from haca3_bids.records.preprocessing import Preprocessing
from haca3_bids.settings import PreprocessingSettings, SelectionSettings, Settings
from haca3_bids.volumes.scan import load_scan
from haca3_bids.volumes.volume import load_volume

pytestmark = pytest.mark.usefixtures("quick")

LARGE_CODES = {"sform_code": 0, "qform_code": 0}
RGB = np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])
MILLI, METRE, MICRON = 2, 1, 3  # codes of xyzt_units


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (LARGE_CODES, "does not define left and right"),
        ({"sform": stretched()}, "sform has voxels of 4 x 4 x 5 mm, its pixdim of 4 x 4 x 4 mm"),
        ({"sform": stretched(), "qform_code": 0}, "sform has voxels of 4 x 4 x 5 mm"),
        ({"sform": stretched(1.02)}, "sform has voxels of 4 x 4 x 4.08 mm"),
        ({"sform": stretched(), "qform_code": 2}, "sform has voxels of 4 x 4 x 5 mm"),
        ({"pixdim": pixdim(4, 4, 5)}, "sform has voxels of 4 x 4 x 4 mm, its pixdim of 4 x 4 x 5 mm"),
        ({"pixdim": pixdim(1, 1, 1), "qform_code": 0}, "its pixdim of 1 x 1 x 1 mm"),
        ({"sform": sheared(5), "qform_code": 0}, "sheared by 5 degrees"),
        ({"sform": MIRRORED}, "disagree about left and right"),
        ({"sform": MIRRORED, "sform_code": 4}, "disagree about left and right"),
        ({"sform": np.zeros((4, 4))}, "zero determinant"),
        ({"sform": np.full((4, 4), np.nan)}, "not finite"),
        ({"sform_code": 0, "qoffset_x": np.inf}, "not finite"),
        ({"sform_code": 0, "quatern_b": np.nan}, "not finite"),
        ({"sform_code": 0, "quatern_b": 1.0, "quatern_c": 1.0}, "cannot be read"),
        ({"sform_code": 99, "qform_code": -3}, "does not define left and right"),
        ({"dim": [3, 44, 0, 48, 1, 1, 1, 1]}, "has shape (44, 0, 48)"),
        ({"dim": [3, 44, -52, 48, 1, 1, 1, 1]}, "has shape (44, -52, 48)"),
        ({"dim": [9, 44, 52, 48, 1, 1, 1, 1]}, "cannot be read"),
        ({"datatype": 9999}, "cannot be read"),
        ({"magic": b"xx"}, "cannot be read"),
        ({"pixdim": pixdim(4, np.nan, 4)}, "4 x nan x 4"),
        ({"pixdim": pixdim(4, 4, np.inf)}, "4 x 4 x inf"),
        ({"pixdim": pixdim(4, 0, 4)}, "4 x 0 x 4"),
        ({"pixdim": pixdim(0.4, 0.4, 0.4), "sform_code": 0}, "has a field of view of 17.6 x 20.8 x 19.2 mm"),
        ({"pixdim": pixdim(40, 40, 40), "sform_code": 0}, "has a field of view of 1.76e+03 x 2.08e+03 x 1.92e+03 mm"),
        ({"xyzt_units": METRE}, "a head requires"),
        ({"xyzt_units": MICRON}, "a head requires"),
        ({"data": head()[:, :, 24]}, "has shape (44, 52)"),
        ({"data": head()[:, :, 24:25]}, "has shape (44, 52, 1)"),
        ({"data": np.stack([head()] * 2, axis=-1)}, "is 4D (2 volumes)"),
        ({"data": np.stack([head()] * 3, axis=-1)[:, :, :, None]}, "is 5D (3 volumes)"),
        ({"data": RGB}, "is a colour image (RGB)"),
        ({"data": head().astype(np.complex64)}, "contains complex numbers"),
    ],
)
def test_a_header_that_cannot_be_believed_is_its_subjects_error_alone(
    raw: Path, fields: dict[str, Any], words: str
) -> None:
    path = write(raw / "sub-01/anat" / NAME, **fields)
    selection = select(raw)
    assert [session.name for session in selection.sessions] == ["sub-02"]
    (failed,) = selection.outcomes
    assert failed.name == "sub-01"
    assert isinstance(failed.error, BadInput)
    assert words in failed.error.sentence
    assert NAME in failed.error.sentence
    with pytest.raises(BadInput):  # reading says no more than looking does
        read(path, raw.parent / "read")


@pytest.mark.parametrize(
    ("fields", "affine", "remark"),
    [
        ({}, AFFINE, ""),
        ({"sform_code": 0}, AFFINE, ""),
        ({"qform_code": 0}, AFFINE, ""),
        ({"sform": stretched(1.004)}, stretched(1.004), ""),
        ({"sform": turned(0.5)}, turned(0.5), ""),
        ({"sform": turned(20)}, turned(20), "by 20 degrees; the sform is used"),
        ({"sform": turned(20), "sform_code": 4}, AFFINE, "the qform is used"),
        ({"sform": stretched(), "sform_code": 4}, AFFINE, "the qform is used"),
        ({"sform": sheared(5), "sform_code": 2}, AFFINE, "the qform is used"),
        ({"quatern_b": np.nan}, AFFINE, ""),
        ({"quatern_b": 1.0, "quatern_c": 1.0}, AFFINE, ""),
        ({"pixdim": [0, -4, 4, 4, 0, 0, 0, 0]}, AFFINE, ""),
        ({"scl_slope": np.nan, "scl_inter": np.inf}, AFFINE, ""),
        ({"xyzt_units": 0}, AFFINE, ""),
        ({"xyzt_units": 7}, AFFINE, ""),
    ],
)
def test_what_is_believed_is_the_same_for_choosing_and_reading_and_is_said(
    raw: Path, tmp_path: Path, fields: dict[str, Any], affine: Array, remark: str
) -> None:
    write(raw / "sub-01/anat" / NAME, **fields)
    scan = load_scan(chosen(raw), forced=False)
    np.testing.assert_allclose(scan.image.affine, affine, atol=1e-4)
    facts = read(chosen(raw), tmp_path / "read")
    assert facts.acquisition.spacing_mm == pytest.approx(np.linalg.norm(affine[:3, :3], axis=0).max(), abs=1e-3)
    assert [remark in one for one in facts.remarks] == ([True] if remark else [])


@pytest.mark.parametrize(("unit", "factor"), [(MICRON, 1000.0), (METRE, 0.001), (MILLI, 1.0)])
def test_lengths_are_taken_in_the_unit_of_the_header(raw: Path, unit: int, factor: float) -> None:
    scaled = np.diag([factor, factor, factor, 1.0]) @ AFFINE
    offsets = dict(zip(("qoffset_x", "qoffset_y", "qoffset_z"), scaled[:3, 3], strict=True))
    sizes = pixdim(*[factor * VOXEL_MM] * 3)
    for form in ({"sform_code": 0}, {"qform_code": 0}, {}):
        fields = {"pixdim": sizes, "sform": scaled, "xyzt_units": unit, **offsets, **form}
        write(raw / "sub-01/anat" / NAME, **fields)
        np.testing.assert_allclose(load_scan(chosen(raw), forced=False).image.affine, AFFINE, rtol=1e-5)


def test_an_unknown_orientation_is_taken_where_the_user_insists_and_page_and_sidecar_say_so(
    raw: Path, tmp_path: Path
) -> None:
    path = write(raw / "sub-01/anat" / NAME, **LARGE_CODES)
    assert [session.name for session in select(raw, "orientation").sessions] == ["sub-01", "sub-02"]
    assert "sub-01" not in [session.name for session in select(raw, "registration").sessions]
    facts = read(path, tmp_path / "read", "orientation")
    assert facts.orientation_assumed
    record = Preprocessing(contrasts={"T1w": facts})
    assert "left and right" in preproc_sidecar("T1w", record, {})["InputRemarks"][0]
    verdict = judge(record, {})
    assert verdict.verdict == "look"
    assert "left and right" in verdict.reasons[0].sentence
    np.testing.assert_allclose(load_scan(path).image.affine[:3, :3], np.diag([-VOXEL_MM, VOXEL_MM, VOXEL_MM]))


@pytest.mark.parametrize(
    ("fields", "affine"),
    [
        ({"sform": stretched()}, AFFINE),
        ({"sform": MIRRORED}, AFFINE),
        ({"sform": stretched(), "qform_code": 0}, AFFINE),
        ({"sform": MIRRORED @ np.diag([1, 1, 1.25, 1]), "qform_code": 0}, MIRRORED),
    ],
)
def test_a_header_that_contradicts_itself_is_taken_by_pixdim_where_the_user_insists(
    tmp_path: Path, fields: dict[str, Any], affine: Array
) -> None:
    np.testing.assert_allclose(load_scan(write(tmp_path / NAME, **fields)).image.affine, affine, atol=1e-5)


def test_of_two_runs_the_one_whose_header_can_be_believed_is_used(raw: Path) -> None:
    good = write(raw / "sub-01/anat/sub-01_run-1_T1w.nii.gz")
    write(raw / "sub-01/anat/sub-01_run-2_T1w.nii.gz", sform=stretched())
    write(raw / "sub-01/anat/sub-01_acq-scout_T1w.nii.gz", data=head()[:, :, 24])
    write(raw / "sub-01/anat/sub-01_acq-nan_T1w.nii.gz", pixdim=pixdim(np.nan, 4, 4))
    write(raw / "sub-01/anat/sub-01_acq-picture_T1w.nii.gz", data=RGB)
    assert chosen(raw) == good


def test_a_file_without_permission_is_said_to_be_one(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(raw / "sub-01/anat" / NAME)
    opened = Path.open

    def closed(name: Path, *how: Any, **more: Any) -> Any:
        if name.name == NAME:
            raise PermissionError(13, "Permission denied")
        return opened(name, *how, **more)

    monkeypatch.setattr(Path, "open", closed)
    (failed,) = select(raw).outcomes
    assert failed.error is not None
    assert "no permission" in failed.error.sentence
    assert failed.error.exit_code == 65
    with pytest.raises(BadInput, match="no permission"):
        load_volume(path)


@pytest.mark.parametrize(
    ("kind", "written", "read_as"),
    [
        (nib.MGHImage, "T1.mgz", "T1.mgz"),
        (nib.AnalyzeImage, "T1.img", "T1.img"),  # it does not define left and right
        (nib.Nifti1Pair, "T1.img", "T1.img"),
        (nib.Nifti1Pair, "T1.img", "T1.hdr"),
    ],
)
def test_an_image_of_another_format_is_said_to_be_one(
    tmp_path: Path, kind: type[Any], written: str, read_as: str
) -> None:
    kind(head(), AFFINE).to_filename(tmp_path / written)
    with pytest.raises(BadInput, match=rf"{read_as} is not a NIfTI file \(\.nii or \.nii\.gz\)"):
        load_volume(tmp_path / read_as)


def test_a_filter_does_not_bring_back_what_cannot_be_believed(raw: Path, tmp_path: Path) -> None:
    write(raw / "sub-01/anat/sub-01_acq-a_T1w.nii.gz")
    write(raw / "sub-01/anat/sub-01_acq-b_T1w.nii.gz", **LARGE_CODES)
    filters = tmp_path / "filters.json"
    filters.write_text(json.dumps({"t1w": {"acquisition": "b"}}))
    settings = Settings(raw, tmp_path / "out", selection=SelectionSettings(participants=("01",), filter_file=filters))
    (failed,) = select_sessions(settings).outcomes
    assert failed.error is not None
    assert "left and right" in failed.error.sentence
    forced = replace(settings, preprocessing=PreprocessingSettings(force=("orientation",)))
    assert len(select_sessions(forced).sessions) == 1
