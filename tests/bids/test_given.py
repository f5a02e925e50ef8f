"""Results of earlier derivatives, by their names."""

from pathlib import Path

import pytest

from haca3_bids.bids.discover import Session, SourceImage
from haca3_bids.bids.given import find_given

SPACE = "MNI152NLin2009cSym"
TRANSFORM = f"from-T1w_to-{SPACE}_mode-image_xfm.txt"


def found(folder: Path, name: str, **entities: str) -> set[str]:
    """What a file of earlier derivatives gives to a session whose T1w has these entities."""
    path = folder / "sub-01/anat" / f"sub-01_{name}"
    path.parent.mkdir(parents=True)
    path.touch()
    scan = SourceImage("T1w", Path("sub-01_T1w.nii.gz"), {"sub": "01", **entities}, "")
    return set(find_given([("x", folder)], Session("01", None, {"T1w": scan}), SPACE))


@pytest.mark.parametrize(
    ("name", "entities"),
    [
        ("desc-brain_mask.nii.gz", {}),
        ("desc-brain_mask.nii.gz", {"acq": "mprage", "run": "2"}),
        ("acq-mprage_desc-brain_mask.nii.gz", {"acq": "mprage", "run": "2"}),
        ("run-02_space-T1w_desc-brain_mask.nii.gz", {"run": "2"}),
    ],
)
def test_a_mask_of_the_scan_or_of_no_scan_in_particular_is_used(tmp_path, name, entities) -> None:
    assert found(tmp_path, name, **entities) == {"brain_mask"}


@pytest.mark.parametrize("end", ["desc-brain_mask.nii.gz", "desc-head_mask.nii.gz", TRANSFORM])
@pytest.mark.parametrize(
    ("begin", "entities"),
    [
        ("acq-spgr", {"acq": "mprage"}),
        ("acq-spgr", {}),
        ("ce-gadolinium", {}),
        ("rec-norm", {"acq": "mprage"}),
        ("run-1", {"run": "2"}),
        ("echo-1", {"echo": "2"}),
    ],
)
def test_nothing_of_another_scan_is_used(tmp_path, begin, end, entities) -> None:
    assert found(tmp_path / "other", f"{begin}_{end}", **entities) == set()
    assert found(tmp_path / "own", end, **entities) != set()
