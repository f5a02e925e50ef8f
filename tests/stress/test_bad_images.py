"""What is no scan of a head is refused: with the error of its kind, a sentence about it, and without being unpacked."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest
from bad_images import BAD, KINDS, make_bad
from fake_parts import make_dataset
from runs import Run

from haca3_bids.errors import BadInput
from haca3_bids.volumes.header import check_geometry
from haca3_bids.volumes.scan import check_intensities, load_scan

# only the real first step of the preprocessing sees that
READ_ONLY = {("intensities", one) for one in ("standardized", "a mask", "a segmentation")}
MEMORY_KB = 300_000  # no bad file makes the process larger by more


def look_and_read(path: Path) -> None:
    """What is done with a scan first."""
    check_geometry(path)
    check_intensities(load_scan(path, forced=False), path.name)


def test_there_are_many_of_many_kinds() -> None:
    assert len(BAD) >= 60
    assert len(KINDS) >= 12


@pytest.mark.parametrize(("kind", "name"), BAD)
def test_a_bad_image_is_refused_with_a_sentence(kind: str, name: str, tmp_path: Path) -> None:
    path = make_bad(tmp_path, "sub-01", kind, name)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadInput) as caught:
        look_and_read(path)
    said = caught.value.sentence
    assert BAD[kind, name][1] in said
    assert path.name in said
    assert said.endswith(".")
    assert "\n" not in said
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + MEMORY_KB


@pytest.mark.slow
def test_a_dataset_of_bad_images_is_told_one_by_one_and_its_good_subject_is_done(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    raw = make_dataset(tmp_path_factory.mktemp("bad") / "raw", {"sub-good": ("T1w",)})
    subjects = {one: f"sub-{number:02d}" for number, one in enumerate(BAD)}
    for (kind, name), subject in subjects.items():
        make_bad(raw / subject / "anat", subject, kind, name)
    run = Run(tmp_path_factory.mktemp("run"), raw)
    assert run.finish() == 1
    assert "Traceback" not in run.said
    (about,) = run.out.glob("logs/*/run.json")
    ended = {one["name"]: one for one in json.loads(about.read_text())["sessions"]}
    assert ended.pop("sub-good")["status"] == "done"
    assert {one for one in BAD if BAD[one][1] not in ended[subjects[one]]["error"]} == READ_ONLY
