"""Sidecars as scanners, editors and people leave them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from as_found import SCAN, errors, found, healthy_dataset, images, write_scan

from haca3_bids.bids.atomic import write_json
from haca3_bids.bids.lenient import is_finite
from haca3_bids.bids.metadata import read_metadata
from haca3_bids.bids.sidecars import copied
from haca3_bids.bids.validate import check_description
from haca3_bids.settings import SelectionSettings

CLEAR: dict[str, tuple[bytes, dict[str, object]]] = {
    "byte-order mark": (b'\xef\xbb\xbf{"EchoTime": 0.1}', {"EchoTime": 0.1}),
    "UTF-16": ('{"EchoTime": 0.1}'.encode("utf-16"), {"EchoTime": 0.1}),
    "Latin-1": ('{"Manufacturer": "Müller"}'.encode("latin-1"), {"Manufacturer": "Müller"}),
    "raw line break": (b'{"Manufacturer": "a\nb"}', {"Manufacturer": "a\nb"}),
    "NaN beside a number": (b'{"EchoTime": NaN, "FlipAngle": 8}', {"FlipAngle": 8}),
    "infinity": (b'{"EchoTime": -Infinity, "FlipAngle": 8}', {"FlipAngle": 8}),
    "beyond any number": (b'{"EchoTime": 1e999, "FlipAngle": 8}', {"FlipAngle": 8}),
    "NaN deep inside": (b'{"EchoTime": [{"a": NaN}], "FlipAngle": 8}', {"FlipAngle": 8}),
}
BROKEN: dict[str, tuple[bytes, str]] = {
    "trailing comma": (b'{"EchoTime": 0.1,}', "not valid JSON"),
    "cut off": (b'{"EchoTime": ', "not valid JSON"),
    "empty": (b"", "is empty"),
    "only blanks": (b" \n\n", "is empty"),
    "zeros of a crashed disk": (bytes(64), "is empty"),
    "list at top level": (b"[1, 2]", "contains a list instead of a JSON object"),
    "number at top level": (b"3", "contains a number instead of a JSON object"),
    "no JSON at all": (b"EchoTime: 0.1", "not valid JSON"),
    "deep without end": (b"[" * 100000, "not valid JSON"),
    "an image": (b"\x1f\x8b\x08\x00\xff\xfe\x00\x01", "not valid JSON"),
    "infinity": (b'{"EchoTime": Infinity}', "EchoTime of sub-01_T1w.json is not a finite number"),
}


def dataset_with(content: bytes, tmp_path: Path) -> Path:
    root = healthy_dataset(tmp_path / "raw")
    write_scan(root / SCAN)
    (root / "sub-01/anat/sub-01_T1w.json").write_bytes(content)
    return root


@pytest.mark.parametrize("kind", CLEAR)
def test_what_has_a_clear_meaning_is_read(kind: str, tmp_path: Path) -> None:
    content, values = CLEAR[kind]
    root = dataset_with(content, tmp_path)
    assert read_metadata(root / SCAN, root).values == values
    assert images(found(root)[0]) == {"sub-01 T1w": "sub-01_T1w.nii.gz"}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_sidecar_is_a_warning_of_its_image(kind: str, tmp_path: Path) -> None:
    content, words = BROKEN[kind]
    root = dataset_with(content, tmp_path)
    selected, said = found(root)
    assert images(selected) == {"sub-01 T1w": "sub-01_T1w.nii.gz"}
    assert not errors(selected)
    assert words in said
    assert "and is not used" in said


OTHERS: dict[str, Callable[[Path], object]] = {
    "a dangling link": lambda path: path.symlink_to("/nowhere/x.json"),
    "a folder": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_sidecar_that_is_no_file_is_a_warning_too(kind: str, tmp_path: Path) -> None:
    root = healthy_dataset(tmp_path / "raw")
    OTHERS[kind](write_scan(root / SCAN).with_name("sub-01_T1w.json"))
    selected, said = found(root)
    assert images(selected) == {"sub-01 T1w": "sub-01_T1w.nii.gz"}
    assert "warning" in said


@pytest.mark.parametrize("content", [b"[1]", b'\xef\xbb\xbf{"EchoTime": 0.1}', b'{"EchoTime": "slow"}', b'{"a": 1,}'])
def test_the_validator_does_not_end_a_run_for_a_sidecar_of_one_subject(content: bytes, tmp_path: Path) -> None:
    selected, _ = found(dataset_with(content, tmp_path), validate=True)
    assert images(selected) == {"sub-01 T1w": "sub-01_T1w.nii.gz"}


def test_the_nearest_sidecar_counts_and_those_of_other_scans_do_not(tmp_path: Path) -> None:
    root = healthy_dataset(tmp_path / "raw")
    image = write_scan(root / "sub-01/ses-1/anat/sub-01_ses-1_acq-a_T1w.nii.gz")
    (root / "T1w.json").write_text('{"EchoTime": 1, "FlipAngle": 1, "Manufacturer": "top"}')
    (root / "acq-a_T1w.json").write_text('{"FlipAngle": 2}')
    (root / "acq-b_T1w.json").write_text('{"FlipAngle": 3}')
    (root / "T2w.json").write_text('{"FlipAngle": 4}')
    (root / "sub-01/sub-01_T1w.json").write_text('{"EchoTime": 5}')
    (image.parent / "sub-01_ses-1_acq-a_T1w.json").write_text('{"RepetitionTime": 6}')
    read = read_metadata(image, root)
    assert read.values == {"EchoTime": 5, "FlipAngle": 2, "Manufacturer": "top", "RepetitionTime": 6}
    assert read.warnings == ()


@pytest.mark.parametrize(
    "image_type",
    [["ORIGINAL", "PRIMARY", "M", "NORM"], "ORIGINAL\\PRIMARY\\M\\NORM", ["ORIGINAL\\PRIMARY\\M\\norm"]],
)
def test_image_type_is_read_word_by_word_however_it_is_written(image_type: object, tmp_path: Path) -> None:
    root = healthy_dataset(tmp_path / "raw")
    write_scan(root / "sub-01/anat/sub-01_acq-a_T1w.nii.gz")
    corrected = write_scan(root / "sub-01/anat/sub-01_acq-b_T1w.nii.gz")
    corrected.with_name("sub-01_acq-b_T1w.json").write_text(json.dumps({"ImageType": image_type}))
    selected, said = found(root)
    assert images(selected) == {"sub-01 T1w": corrected.name}
    assert "coil sensitivity" in said


def test_a_contrast_agent_that_only_the_sidecar_knows_leaves_a_t1w_out(tmp_path: Path) -> None:
    """Of two runs, before and after the injection, the later one was taken."""
    root, filters = healthy_dataset(tmp_path / "raw"), tmp_path / "filters.json"
    for run, agent in ((1, "NONE"), (2, "GADOLINIUM")):
        for contrast in ("T1w", "FLAIR"):
            scan = write_scan(root / f"sub-01/anat/sub-01_run-{run}_{contrast}.nii.gz")
            sidecar = scan.with_name(f"sub-01_run-{run}_{contrast}.json")
            sidecar.write_text(json.dumps({"ContrastBolusIngredient": agent}))
    selected, said = found(root)
    assert images(selected) == {"sub-01 T1w": "sub-01_run-1_T1w.nii.gz", "sub-01 FLAIR": "sub-01_run-2_FLAIR.nii.gz"}
    assert "contrast-enhanced according to its sidecar (GADOLINIUM)" in said
    filters.write_text(json.dumps({"t1w": {"ceagent": "*"}}))
    selected, _ = found(root, selection=SelectionSettings(filter_file=filters, skip_validation=True))
    assert images(selected)["sub-01 T1w"] == "sub-01_run-2_T1w.nii.gz"


def test_a_real_image_that_only_its_sidecar_knows_is_left_out(tmp_path: Path) -> None:
    """It has a sign: dark tissue is below zero, or is folded up to be bright."""
    root = healthy_dataset(tmp_path / "raw")
    write_scan(root / SCAN).with_name("sub-01_T1w.json").write_text(
        json.dumps({"ImageType": ["ORIGINAL", "R_IR", "R"]})
    )
    assert "a real-valued image according to its ImageType" in found(root)[1]


@pytest.mark.parametrize("image_type", [["ORIGINAL", "PRIMARY", "P", "ND"], "ORIGINAL\\PRIMARY\\PHASE MAP\\P", 3, None])
def test_a_phase_image_that_only_its_sidecar_knows_is_left_out(image_type: object, tmp_path: Path) -> None:
    root = healthy_dataset(tmp_path / "raw")
    write_scan(root / SCAN).with_name("sub-01_T1w.json").write_text(json.dumps({"ImageType": image_type}))
    selected, said = found(root)
    is_phase = isinstance(image_type, list | str)
    assert images(selected) == ({} if is_phase else {"sub-01 T1w": "sub-01_T1w.nii.gz"})
    assert ("a phase image according to its ImageType" in said) == is_phase


def test_no_json_that_is_written_holds_what_is_no_number(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": float("nan"), "b": [1.0, float("inf")], "c": {"d": (-float("inf"),)}})
    read = json.loads((tmp_path / "x.json").read_text(), parse_constant=pytest.fail)
    assert read == {"a": None, "b": [1.0, None], "c": {"d": [None]}}
    assert is_finite(read)


def test_only_values_of_the_type_that_bids_asks_for_are_copied() -> None:
    raw = {"EchoTime": "slow", "RepetitionTime": 2, "FlipAngle": True, "Manufacturer": ["x"], "PatientName": "Y"}
    assert copied(raw) == {"RepetitionTime": 2}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_the_dataset_s_own_description_is_read_in_any_encoding(encoding: str, tmp_path: Path) -> None:
    text = '{"Name": "Köpfe", "BIDSVersion": "1.9.0"}'
    (tmp_path / "dataset_description.json").write_bytes(text.encode(encoding))
    assert check_description(tmp_path)["Name"] == "Köpfe"
