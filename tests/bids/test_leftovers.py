from __future__ import annotations

from pathlib import Path

from haca3_bids.bids.discover import Session
from haca3_bids.bids.leftovers import partial_folder, remove_partial_files, remove_partial_sessions
from haca3_bids.partial import partial_file


def killed_while_writing(path: Path) -> Path:
    """What is there when a process is killed within ``partial_file``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with partial_file(path) as partial:
        partial.touch()
        name = partial
    name.touch()
    return name


def test_what_is_half_written_of_a_locked_subject_goes_and_nothing_else(tmp_path: Path) -> None:
    mine, other = Session("01", "a", {}), Session("02", None, {})
    gone = [
        killed_while_writing(tmp_path / "sub-01/ses-a/anat/sub-01_ses-a_desc-haca3_qc.json"),
        killed_while_writing(tmp_path / "sub-01.html"),
        killed_while_writing(partial_folder(tmp_path, mine) / "sub-01/ses-a/anat/x.json"),
    ]
    stay = [
        killed_while_writing(tmp_path / "sub-02/anat/sub-02_desc-haca3_qc.json"),
        killed_while_writing(tmp_path / "sub-02.html"),
        killed_while_writing(tmp_path / "dataset_description.json"),
        killed_while_writing(partial_folder(tmp_path, other) / "sub-02/anat/x.json"),
        tmp_path / "sub-01.html",
    ]
    remove_partial_sessions(tmp_path, [mine])
    assert [path.exists() for path in gone] == [False] * len(gone)
    assert all(path.exists() for path in stay)
    remove_partial_files(tmp_path, ["dataset_description.json"])
    assert [path.exists() for path in stay] == [True, True, False, True, True]
