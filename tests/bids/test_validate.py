from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from haca3_bids.bids.validate import check_description, validate_bids
from haca3_bids.errors import InvalidBids

Make = Callable[..., Path]


def test_a_folder_without_description_is_not_bids(tmp_path: Path) -> None:
    with pytest.raises(InvalidBids, match=r"no dataset_description\.json"):
        check_description(tmp_path)
    file = tmp_path / "dataset_description.json"
    for text, words in (("{", "not valid JSON"), ('{"Name": "x"}', "BIDSVersion"), ("[]", "lacks")):
        file.write_text(text)
        with pytest.raises(InvalidBids, match=words):
            check_description(tmp_path)


def test_errors_in_what_is_read_are_raised_and_others_are_not(raw: Path, scan: Make) -> None:
    (raw / "README").write_text("A dataset for the tests of the check that comes before everything else here.\n")
    scan("sub-01/anat/sub-01_T1w.nii.gz")
    validate_bids(raw, ["sub-01/anat"])
    scan("sub-02/anat/T1w.nii.gz")
    validate_bids(raw, ["sub-01/anat"])
    with pytest.raises(InvalidBids, match=r"sub-02/anat/T1w\.nii\.gz"):
        validate_bids(raw, ["sub-01/anat", "sub-02/anat"])


def test_a_broken_scan_is_not_a_matter_of_bids(raw: Path, scan: Make) -> None:
    (raw / "README").write_text("A dataset for the tests of the check that comes before everything else here.\n")
    scan("sub-01/anat/sub-01_T1w.nii.gz").write_bytes(b"")
    (raw / "sub-01/anat/sub-01_T2w.nii.gz").symlink_to("/nowhere")
    validate_bids(raw, ["sub-01/anat"])


def test_a_table_that_does_not_fit_the_scans_is_a_warning(
    raw: Path, scan: Make, caplog: pytest.LogCaptureFixture
) -> None:
    (raw / "README").write_text("A dataset for the tests of the check that comes before everything else here.\n")
    scan("sub-01/anat/sub-01_T1w.nii.gz")
    (raw / "sub-01/sub-01_scans.tsv").write_text("filename\nanat/sub-01_T1w.nii.gz\nfunc/sub-01_task-x_bold.nii.gz\n")
    (raw / "participants.tsv").write_text("participant_id\tage\n01\t30\n")
    with caplog.at_level("WARNING", "haca3_bids"):
        validate_bids(raw, ["sub-01/anat"])
    assert "sub-01_scans.tsv" in caplog.text
    assert "participants.tsv" in caplog.text


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_description_in_another_encoding_is_a_warning(
    raw: Path, scan: Make, caplog: pytest.LogCaptureFixture, encoding: str
) -> None:
    (raw / "README").write_text("A dataset for the tests of the check that comes before everything else here.\n")
    scan("sub-01/anat/sub-01_T1w.nii.gz")
    file = raw / "dataset_description.json"
    file.write_text(file.read_text(), encoding=encoding)
    assert check_description(raw)["Name"]
    with caplog.at_level("WARNING", "haca3_bids"):
        validate_bids(raw, ["sub-01/anat"])
    assert "dataset_description.json: INVALID_JSON_ENCODING" in caplog.text
