from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from haca3_bids.bids.discover import check_session, discover_subject, list_subjects, read_filters
from haca3_bids.errors import BadInput, InvalidBids, NothingSelected, UsageError
from haca3_bids.settings import SelectionSettings

Make = Callable[..., Path]
ALL = SelectionSettings()


def chosen(raw: Path, selection: SelectionSettings = ALL, subject: str = "01") -> dict[str, str]:
    (session,) = discover_subject(raw, subject, selection)
    return {contrast: image.path.name for contrast, image in session.images.items()}


def reasons(raw: Path) -> dict[str, str]:
    (session,) = discover_subject(raw, "01", ALL)
    return {Path(one.path).name: one.reason for one in session.left_out}


def test_contrasts_come_in_one_order_and_the_t1w_is_the_reference(raw: Path, scan: Make) -> None:
    for contrast in ("FLAIR", "T2w", "PDw", "T1w"):
        scan(f"sub-01/anat/sub-01_{contrast}.nii.gz")
    (session,) = discover_subject(raw, "01", ALL)
    assert list(session.images) == ["T1w", "T2w", "PDw", "FLAIR"]
    assert session.reference == "T1w"


@pytest.mark.parametrize(
    ("found", "reference"), [(("PDw", "T2w"), "T2w"), (("PDw", "FLAIR"), "FLAIR"), (("PDw",), "PDw")]
)
def test_the_reference_is_t2w_then_flair_then_pdw(
    raw: Path, scan: Make, found: tuple[str, ...], reference: str
) -> None:
    for contrast in found:
        scan(f"sub-01/anat/sub-01_{contrast}.nii.gz")
    (session,) = discover_subject(raw, "01", ALL)
    assert session.reference == reference


@pytest.mark.parametrize(
    ("better", "other", "why"),
    [
        ({"name": "acq-head_T2w"}, {"name": "acq-slab_T2w", "zooms": (1, 1, 1), "extent": 60}, "whole head"),
        ({"name": "acq-3D_T2w", "zooms": (8, 8, 8)}, {"name": "acq-2D_T2w", "zooms": (5, 5, 20)}, "longest edge"),
        ({"name": "rec-norm_T2w"}, {"name": "T2w"}, "coil sensitivity"),
        ({"name": "rec-DIS2DNorm_T2w"}, {"name": "rec-DIS2DnoNorm_T2w"}, "coil sensitivity"),
        ({"name": "T2w"}, {"name": "rec-nonnorm_T2w"}, "coil sensitivity"),
        ({"name": "T2w"}, {"name": "rec-unnormalized_T2w"}, "coil sensitivity"),
        ({"name": "acq-b_T2w", "ImageType": ["NORM"]}, {"name": "acq-a_T2w", "ImageType": ["ND"]}, "coil sensitivity"),
        ({"name": "T2w"}, {"name": "rec-moco_T2w"}, "plain reconstruction"),
        ({"name": "acq-b_T2w", "zooms": (10, 10, 20)}, {"name": "acq-a_T2w"}, "smaller"),
        ({"name": "echo-1_PDw"}, {"name": "echo-2_PDw"}, "earlier"),
        ({"name": "run-2_T2w"}, {"name": "run-1_T2w"}, "run is later"),
        ({"name": "run-10_T2w"}, {"name": "run-9_T2w"}, "run is later"),
        ({"name": "acq-a_T2w"}, {"name": "acq-b_T2w"}, "name comes first"),
    ],
)
def test_among_several_scans_the_rule_decides_and_says_why(
    raw: Path, scan: Make, better: dict[str, object], other: dict[str, object], why: str
) -> None:
    paths = [scan(f"sub-01/anat/sub-01_{one.pop('name')}.nii.gz", **one) for one in (better, other)]
    (session,) = discover_subject(raw, "01", ALL)
    (image,) = session.images.values()
    (left,) = session.left_out
    assert (image.path, raw / left.path) == (paths[0], paths[1])
    assert why in image.reason
    assert why in left.reason


def test_a_4d_file_gives_way_to_a_3d_one(raw: Path, scan: Make) -> None:
    import nibabel as nib
    import numpy as np

    good = scan("sub-01/anat/sub-01_run-1_T1w.nii.gz")
    nib.save(
        nib.Nifti1Image(np.ones((9, 9, 9, 2), "f4"), np.diag([20, 20, 20, 1])), str(good).replace("run-1", "run-2")
    )
    assert chosen(raw) == {"T1w": good.name}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("ce-gd_T1w", "contrast-enhanced"),
        ("part-phase_T1w", "phase part"),
        ("inv-1_T1w", "inversion image"),
        ("MP2RAGE", "MP2RAGE"),
        ("UNIT1", "not supported: the uniform image of MP2RAGE"),
        ("inv-2_MP2RAGE", "not supported: an inversion image"),
        ("T1map", "not supported: a map of T1"),
        ("PDT2", "two volumes"),
        ("defacemask", "mask"),
        ("mod-T1w_defacemask", "mask"),
        ("T2starw", "not one of"),
        ("chunk-1_T1w", "parts of a head"),
    ],
)
def test_what_is_no_plain_weighted_image_is_left_out_with_a_reason(raw: Path, scan: Make, name: str, why: str) -> None:
    scan("sub-01/anat/sub-01_T2w.nii.gz")
    scan(f"sub-01/anat/sub-01_{name}.nii.gz")
    assert chosen(raw) == {"T2w": "sub-01_T2w.nii.gz"}
    assert why in reasons(raw)[f"sub-01_{name}.nii.gz"]


def test_the_magnitude_part_is_an_image(raw: Path, scan: Make) -> None:
    scan("sub-01/anat/sub-01_part-mag_T1w.nii.gz")
    assert chosen(raw) == {"T1w": "sub-01_part-mag_T1w.nii.gz"}


def test_a_filter_may_ask_for_what_is_left_out_otherwise(raw: Path, scan: Make, tmp_path: Path) -> None:
    scan("sub-01/anat/sub-01_ce-gd_T1w.nii.gz")
    scan("sub-01/anat/sub-01_T1w.nii.gz")
    file = tmp_path / "filter.json"
    file.write_text(json.dumps({"t1w": {"ceagent": "gd"}}))
    assert chosen(raw, SelectionSettings(filter_file=file)) == {"T1w": "sub-01_ce-gd_T1w.nii.gz"}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"datatype": "anat", "suffix": "T1w", "extension": [".nii", ".nii.gz"]}, {"T1w": "sub-01_T1w.nii"}),
        ({"extension": ".nii.gz"}, {"T1w": "sub-01_T1w.nii.gz"}),
        ({"suffix": "UNIT1"}, {}),
    ],
)
def test_a_filter_of_the_whole_name_is_obeyed(
    raw: Path, scan: Make, tmp_path: Path, wanted: dict[str, object], found: dict[str, str]
) -> None:
    for extension in (".nii", ".nii.gz"):
        scan(f"sub-01/anat/sub-01_T1w{extension}")
    file = tmp_path / "filter.json"
    file.write_text(json.dumps({"t1w": wanted}))
    assert chosen(raw, SelectionSettings(filter_file=file)) == found


def test_sessions_are_apart_and_only_those_wanted_are_found(raw: Path, scan: Make) -> None:
    scan("sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz")
    scan("sub-01/ses-b/anat/sub-01_ses-b_T2w.nii.gz")
    found = discover_subject(raw, "01", ALL)
    assert [(one.session, list(one.images)) for one in found] == [("a", ["T1w"]), ("b", ["T2w"])]
    assert [one.name for one in discover_subject(raw, "01", SelectionSettings(sessions=("b",)))] == ["sub-01_ses-b"]


def test_only_the_subject_s_own_anat_folder_is_looked_at(raw: Path, scan: Make) -> None:
    scan("sub-01/anat/sub-01_T1w.nii.gz")
    for name in ("sub-011/anat/sub-011_T2w", "sub-01/func/sub-01_T2w", "derivatives/x/sub-01/anat/sub-01_FLAIR"):
        scan(f"{name}.nii.gz")
    assert chosen(raw) == {"T1w": "sub-01_T1w.nii.gz"}


def test_a_link_that_points_nowhere_is_an_error_not_an_absence(raw: Path, scan: Make) -> None:
    folder = scan("sub-01/anat/sub-01_T1w.nii.gz").parent
    (folder / "sub-01_T2w.nii.gz").symlink_to("/nowhere/x.nii.gz")
    (session,) = discover_subject(raw, "01", ALL)
    with pytest.raises(BadInput, match="is a broken link"):
        check_session(session)
    (raw / "sub-02").symlink_to("/nowhere")
    assert list_subjects(raw) == ["01", "02"]
    with pytest.raises(BadInput, match="is a broken link"):
        discover_subject(raw, "02", ALL)


def test_an_unknown_label_names_those_that_are_there(raw: Path, scan: Make) -> None:
    scan("sub-01/anat/sub-01_T1w.nii.gz")
    with pytest.raises(NothingSelected) as caught:
        list_subjects(raw, ["07"])
    assert "07" in caught.value.sentence
    assert "01" in caught.value.hint


def test_a_folder_without_subjects_is_no_bids(raw: Path) -> None:
    with pytest.raises(InvalidBids):
        list_subjects(raw)


def test_a_filter_file_that_cannot_be_read_is_a_usage_error(tmp_path: Path) -> None:
    file = tmp_path / "filter.json"
    for text in ("{", "[]", '{"t1w": 3}', '{"bold": {}}'):
        file.write_text(text)
        with pytest.raises(UsageError):
            read_filters(file)
