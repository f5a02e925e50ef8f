"""Names and folders as they are found: old copies, labels and files that contradict their folder."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from as_found import HEALTHY, SCAN, errors, found, healthy_dataset, images, write_scan

from haca3_bids.errors import BadInput, InputOutputFailure, NoUsableImage, UsageError
from haca3_bids.execution import select
from haca3_bids.execution.run import check_input
from haca3_bids.settings import SelectionSettings, Settings

Recipe = Callable[[Path], object]
LEFT_OUT: dict[
    str, tuple[str, str]
] = {  # a file beside a good T1w that looks better by the rule, and why it is not used
    "an older copy": ("old/sub-01_T1w", "in a subfolder of anat"),
    "a phase image": ("sub-01_rec-phase_T1w", "not a magnitude image according to its name (rec-phase)"),
    "a phase image as acquisition": ("sub-01_acq-mpragePhase_T1w", "not a magnitude image according to its name"),
    "a real part": ("sub-01_rec-real_T1w", "not a magnitude image according to its name"),
    "an image of a task": ("sub-01_task-rest_T1w", "acquired during a task"),
    "a direction": ("sub-01_dir-AP_T1w", "BIDS does not define dir- for weighted images"),
    "an invented entity": ("sub-01_foo-1_T1w", "BIDS does not define foo-"),
    "one hemisphere": ("sub-01_hemi-L_T1w", "BIDS does not define hemi-"),
    "a name of nobody": ("T1w", "does not state the subject"),
    "a copy beside it": ("sub-01_T1w.bak", "its name has a period before the extension (.bak.nii.gz)"),
    "a label with a period": ("sub-01_acq-0.7mm_T1w", "its name has a period before the extension"),
    "a deprecated suffix": ("sub-01_PD", "PDw"),
}


OTHER_ENDS = {  # of names of images, and why they are not used
    ".NII.GZ": "its extension is in capital letters; rename it to .nii.gz",
    ".Nii": "its extension is in capital letters; rename it to .nii",
    ".mgz": "not in NIfTI (.mgz); convert it to .nii.gz",
    ".nii.bz2": "not in NIfTI (.nii.bz2); convert it to .nii.gz",
    ".IMG": "not in NIfTI (.img); convert it to .nii.gz",
}


@pytest.mark.parametrize("end", OTHER_ENDS)
def test_an_image_that_is_only_lacking_the_extension_of_nifti_is_named(end: str, tmp_path: Path) -> None:
    root = healthy_dataset(tmp_path / "raw")
    image = write_scan(root / SCAN)
    image.rename(image.with_name(f"sub-01_T1w{end}"))
    selected, said = found(root)
    assert images(selected) == {}
    assert f"sub-01_T1w{end}: {OTHER_ENDS[end]}" in said


def test_a_dataset_with_no_usable_image_names_one_that_was_left_out(tmp_path: Path) -> None:
    root = healthy_dataset(tmp_path / "raw")
    image = root / HEALTHY / f"anat/{HEALTHY}_T1w.nii.gz"
    image.rename(image.with_name(f"{HEALTHY}_T1w.NII.GZ"))
    with pytest.raises(NoUsableImage, match=rf"{HEALTHY}_T1w\.NII\.GZ \(its extension is in capital letters"):
        check_input(Settings(root, tmp_path / "out"))


@pytest.mark.parametrize("kind", LEFT_OUT)
def test_what_is_no_plain_scan_is_left_out_and_says_why(kind: str, tmp_path: Path) -> None:
    name, words = LEFT_OUT[kind]
    root = healthy_dataset(tmp_path / "raw")
    write_scan(root / SCAN, zoom=20)
    write_scan(root / f"sub-01/anat/{name}.nii.gz", zoom=15)
    selected, said = found(root)
    assert images(selected) == {"sub-01 T1w": "sub-01_T1w.nii.gz"}
    assert words in said


def test_what_is_left_out_by_its_name_can_be_asked_for(tmp_path: Path) -> None:
    root = healthy_dataset(tmp_path / "raw")
    wanted = {"direction": "AP", "task": "rest", "reconstruction": "phase"}
    for key, value in {"dir": "AP", "task": "rest", "rec": "phase"}.items():
        write_scan(root / f"sub-01/anat/sub-01_{key}-{value}_T1w.nii.gz")
    for key, value in wanted.items():
        (tmp_path / "filter.json").write_text(json.dumps({"t1w": {key: [value, "x"]}}))
        selection = SelectionSettings(filter_file=tmp_path / "filter.json", skip_validation=True, participants=("01",))
        (session,) = select.discover_subject(root, "01", selection)
        assert f"-{value}_T1w" in session.images["T1w"].path.name


def test_a_filter_that_excludes_every_image_of_a_contrast_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root, file = healthy_dataset(tmp_path / "raw"), tmp_path / "filter.json"
    for suffix in ("acq-a_T1w", "T2w"):
        write_scan(root / f"sub-01/anat/sub-01_{suffix}.nii.gz")
    said = {}
    for key in ("acquisition", "acquisiton"):
        file.write_text(json.dumps({"t2w": {key: "a"}, "t1w": {"acquisition": [None, "a"]}}))
        caplog.clear()
        found(root, selection=SelectionSettings(filter_file=file, skip_validation=True, modalities=("T1w", "T2w")))
        said[key] = caplog.text
    assert "excludes every T2w image. Check its entities" in said["acquisiton"]
    assert "T1w" not in said["acquisiton"]


def two_dates(root: Path) -> None:
    for label, contrast in (("2020-01-15", "T1w"), ("2020-06-20", "T2w")):
        write_scan(root / f"sub-01/ses-{label}/anat/sub-01_ses-{label}_{contrast}.nii.gz")


REFUSED: dict[str, tuple[Recipe, dict[str, str]]] = {  # what is written, and a part of the sentence of each that fails
    "dates as sessions": (
        two_dates,
        {"sub-01_ses-2020-01-15": "label '2020-01-15'", "sub-01_ses-2020-06-20": "label '2020-06-20'"},
    ),
    "a label with a hyphen": (
        lambda root: write_scan(root / "sub-site-01/anat/sub-site-01_T1w.nii.gz"),
        {"sub-site-01": "label 'site-01'"},
    ),
    "a label with an underscore": (
        lambda root: write_scan(root / "sub-a_b/anat/sub-a_b_T1w.nii.gz"),
        {"sub-a_b": "label 'a_b'"},
    ),
    "a label with an accent": (lambda root: write_scan(root / "sub-é/anat/sub-é_T1w.nii.gz"), {"sub-é": "label 'é'"}),
    "no label": (lambda root: write_scan(root / "sub-/anat/sub-_T1w.nii.gz"), {"sub-": "label ''"}),
    "a blank": (lambda root: write_scan(root / "sub-0 1/anat/sub-0 1_T1w.nii.gz"), {"sub-0 1": "label '0 1'"}),
    "a name of another session": (
        lambda root: write_scan(root / "sub-01/ses-a/anat/sub-01_ses-b_T1w.nii.gz"),
        {"sub-01_ses-a": "the file name contains ses-b, its folder ses-a"},
    ),
    "a name of no session": (
        lambda root: write_scan(root / "sub-01/ses-a/anat/sub-01_T1w.nii.gz"),
        {"sub-01_ses-a": "the file name contains no session, its folder ses-a"},
    ),
    "a session without folder": (
        lambda root: write_scan(root / "sub-01/anat/sub-01_ses-a_T1w.nii.gz"),
        {"sub-01": "the file name contains ses-a, its folder no session"},
    ),
    "a scan of somebody else": (
        lambda root: (write_scan(root / SCAN), write_scan(root / "sub-01/anat/sub-03_T2w.nii.gz")),
        {"sub-01": "the file name contains sub-03, its folder sub-01"},
    ),
    "a folder that points nowhere": (
        lambda root: (root / "sub-01").symlink_to("/nowhere"),
        {"sub-01": "is a broken link"},
    ),
    "anat points nowhere": (
        lambda root: ((root / "sub-01").mkdir(), (root / "sub-01/anat").symlink_to("/nowhere")),
        {"sub-01": "sub-01/anat is a broken link"},
    ),
    "a scan that points nowhere": (
        lambda root: ((root / "sub-01/anat").mkdir(parents=True), (root / SCAN).symlink_to("/nowhere/x.nii.gz")),
        {"sub-01": "is a broken link"},
    ),
    "a folder with the name of a scan": (
        lambda root: (root / SCAN).mkdir(parents=True),
        {"sub-01": "sub-01_T1w.nii.gz"},
    ),
    "a 2D image": (
        lambda root: (
            (root / "sub-01/anat").mkdir(parents=True),
            nib.save(nib.Nifti1Image(np.ones((9, 9), "f4"), np.eye(4)), root / SCAN),
        ),
        {"sub-01": "has shape (9, 9)"},
    ),
}


@pytest.mark.parametrize("validate", [False, True])
@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_understood_is_refused_by_name_and_the_others_go_on(
    kind: str, validate: bool, tmp_path: Path
) -> None:
    recipe, sentences = REFUSED[kind]
    root = healthy_dataset(tmp_path / "raw")
    recipe(root)
    selected, _ = found(root, validate=validate)
    failed = errors(selected)
    assert set(failed) == set(sentences)
    for name, sentence in sentences.items():
        code, said = failed[name]
        assert code == 65
        assert sentence in said
    assert images(selected) == {}


def test_a_good_session_of_a_subject_goes_on_beside_one_that_is_refused(tmp_path: Path) -> None:
    root = healthy_dataset(tmp_path / "raw")
    write_scan(root / "sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz")
    write_scan(root / "sub-01/ses-b/anat/sub-01_ses-c_T1w.nii.gz")
    selected, _ = found(root, validate=True)
    assert images(selected) == {"sub-01_ses-a T1w": "sub-01_ses-a_T1w.nii.gz"}
    assert set(errors(selected)) == {"sub-01_ses-b"}
    assert [session.name for session in selected.failed] == ["sub-01_ses-b"]


def broken_header(path: Path, **fields: object) -> None:
    header = nib.Nifti1Header()
    header.set_data_shape((10, 10, 10))
    header.set_data_dtype(np.float32)
    for key, value in fields.items():
        header[key][1:4] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header.binaryblock + bytes(4) + np.ones(1000, np.float32).tobytes())


SCOUTS: dict[str, Recipe] = {
    "2D": lambda path: nib.save(nib.Nifti1Image(np.ones((9, 9), "f4"), np.eye(4)), path),
    "1D": lambda path: nib.save(nib.Nifti1Image(np.ones(9, "f4"), np.eye(4)), path),
    "4D": lambda path: nib.save(nib.Nifti1Image(np.ones((9, 9, 9, 2), "f4"), np.eye(4)), path),
    "5D": lambda path: nib.save(nib.Nifti1Image(np.ones((9, 9, 9, 2, 2), "f4"), np.eye(4)), path),
    "voxels of NaN": lambda path: broken_header(path, pixdim=np.nan),
    "voxels without end": lambda path: broken_header(path, pixdim=np.inf),
    "voxels of zero": lambda path: broken_header(path, pixdim=0),
    "no image": lambda path: path.write_text("no image at all"),
    "empty": lambda path: path.touch(),
    "a folder": lambda path: path.mkdir(),
    "a dangling link": lambda path: path.symlink_to("/nowhere"),
}


@pytest.mark.parametrize("kind", SCOUTS)
def test_an_image_that_cannot_serve_gives_way_to_one_that_can(kind: str, tmp_path: Path) -> None:
    root = healthy_dataset(tmp_path / "raw")
    good = write_scan(root / SCAN)
    SCOUTS[kind](good.with_name("sub-01_acq-scout_T1w.nii"))
    selected, _ = found(root)
    assert images(selected) == {"sub-01 T1w": good.name}


def test_plus_is_a_letter_of_labels(tmp_path: Path) -> None:
    root = healthy_dataset(tmp_path / "raw")
    write_scan(root / "sub-0+1/ses-a+/anat/sub-0+1_ses-a+_acq-x+y_T1w.nii.gz")
    assert images(found(root)[0]) == {"sub-0+1_ses-a+ T1w": "sub-0+1_ses-a+_acq-x+y_T1w.nii.gz"}


UNEXPECTED: dict[str, tuple[Exception, type[Exception], str]] = {
    "value": (ValueError("not enough values\nto unpack"), BadInput, "(ValueError: not enough values to unpack)"),
    "key": (KeyError("dim"), BadInput, "KeyError"),
    "recursion": (RecursionError("too deep"), BadInput, "RecursionError"),
    "usage": (UsageError("'x' is not a valid BIDS label."), UsageError, "is not a valid BIDS label"),
    "rights": (
        PermissionError(errno.EACCES, "Permission denied", "/data/x.nii.gz"),
        BadInput,
        "x.nii.gz cannot be read",
    ),
    "disk": (OSError(errno.EIO, "Input/output error", "/data/x.nii.gz"), InputOutputFailure, "Input/output error"),
}


@pytest.mark.parametrize("where", ["discover_subject", "check_session"])
@pytest.mark.parametrize("kind", UNEXPECTED)
def test_whatever_is_met_in_a_subject_is_its_own_error(
    kind: str, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error, expected, words = UNEXPECTED[kind]
    root = healthy_dataset(tmp_path / "raw")
    write_scan(root / SCAN)
    original = getattr(select, where)

    def broken(*arguments: object) -> object:
        if any(getattr(one, "subject", one) == "01" for one in arguments):
            raise error
        return original(*arguments)

    monkeypatch.setattr(select, where, broken)
    selected, _ = found(root)
    (outcome,) = selected.outcomes
    assert type(outcome.error) is expected
    assert words in str(outcome.error)
    assert "/data" not in str(outcome.error)


def test_a_folder_that_may_not_be_read_is_an_error_not_an_absence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = healthy_dataset(tmp_path / "raw")
    write_scan(root / SCAN)

    def forbidden(place: Path, bids_dir: Path) -> list[Path]:
        if "sub-01" in place.parts:
            raise PermissionError(errno.EACCES, "Permission denied", str(place / "anat"))
        return [root / HEALTHY / f"anat/{HEALTHY}_T1w.nii.gz"]

    monkeypatch.setattr("haca3_bids.bids.discover.anatomical_files", forbidden)
    assert errors(found(root)[0])["sub-01"][1].startswith("sub-01/anat cannot be read (Permission denied)")


def test_a_dataset_of_forbidden_labels_only_names_them(tmp_path: Path) -> None:
    root = healthy_dataset(tmp_path / "raw")
    (root / HEALTHY).rename(root / "sub-site-02")
    selected = check_input(Settings(root, tmp_path / "out"))
    assert errors(selected)["sub-site-02"][0] == 65
    assert selected.sessions == ()
