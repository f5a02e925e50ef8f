from __future__ import annotations

import errno
import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from haca3_bids.bids.atomic import locked, read_json, write_json
from haca3_bids.bids.describe import OWN_FILES, check_dataset, claim_targets, describe_dataset, known_targets
from haca3_bids.errors import CannotCreate, TemporaryFailure
from haca3_bids.records.target import Target

WEIGHTS = {"name": "w", "sha256": "a", "variant": "haca3", "fusion_name": "f", "fusion_sha256": "b"}


def target(name: str, theta: float, contrast: str = "T2w") -> Target:
    return Target(name, contrast, (theta, 0.0), (0.3, 0.5), 1.0, "x")


def test_a_foreign_or_unnamed_dataset_is_refused(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(CannotCreate, match="did not write"):
        check_dataset(raw, WEIGHTS)
    (tmp_path / "out/sub-01").mkdir(parents=True)
    with pytest.raises(CannotCreate, match=r"no dataset_description\.json"):
        check_dataset(tmp_path / "out", WEIGHTS)


def test_other_weights_are_refused_and_named(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    describe_dataset(out, raw, version="1", weights=WEIGHTS)
    describe_dataset(out, raw, version="1", weights=WEIGHTS)
    with pytest.raises(CannotCreate, match="other weights"):
        check_dataset(out, WEIGHTS | {"sha256": "c"})


def test_the_input_keeps_its_name_with_a_byte_order_mark(raw: Path, tmp_path: Path) -> None:
    path = raw / "dataset_description.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps({"Name": "Heads", "BIDSVersion": "1.9.0"}).encode())
    describe_dataset(tmp_path / "out", raw, version="1", weights=WEIGHTS)
    assert (read_json(tmp_path / "out/dataset_description.json") or {})["Name"] == "haca3_bids harmonization of Heads"


def test_one_name_never_stands_for_two_targets(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    describe_dataset(out, raw, version="1", weights=WEIGHTS)
    claim_targets(out, [target("a", 1.0), target("a", 2.0, "T1w")])
    claim_targets(out, [target("a", 1.0 + 1e-5)])
    with pytest.raises(CannotCreate, match="another target"):
        claim_targets(out, [target("a", 1.1)])
    assert known_targets(out)["haca3a_T2w"].theta == (1.0, 0.0)
    assert "desc-haca3a\t" in (out / "descriptions.tsv").read_text()


def test_many_at_once_lose_nothing(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    describe_dataset(out, raw, version="1", weights=WEIGHTS)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda index: claim_targets(out, [target(f"t{index}", index)]), range(16)))
    assert len(known_targets(out)) == 16


def test_files_that_are_as_they_should_be_are_not_replaced(raw: Path, tmp_path: Path) -> None:
    """Hundreds of jobs of an array start at once: they would wait for each other, and read what is being replaced."""
    out = tmp_path / "out"

    def begin(version: str = "1") -> dict[str, int]:
        describe_dataset(out, raw, version=version, weights=WEIGHTS)
        claim_targets(out, [target("a", 1.0), target("", 2.0, "T1w")])
        return {path.name: path.stat().st_ino for path in out.iterdir() if path.is_file()}

    first = begin()
    assert set(first) == set(OWN_FILES)
    assert begin() == first
    newer = begin("2")
    assert {name for name in first if newer[name] != first[name]} == {"dataset_description.json"}


@pytest.mark.parametrize("failing", [1, 2])
def test_a_description_that_cannot_be_read_for_a_moment_is_not_replaced(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """As on a network file system; without its other entries, all later runs would refuse the dataset."""
    out = tmp_path / "out"
    describe_dataset(out, raw, version="1", weights=WEIGHTS)
    path, real, reads = out / "dataset_description.json", Path.read_text, itertools.count(1)
    before = path.read_bytes()

    def stale(self: Path, encoding: str | None = None) -> str:
        if self == path and next(reads) == failing:
            raise OSError(errno.ESTALE, "Stale file handle", str(self))
        return real(self, encoding)

    monkeypatch.setattr(Path, "read_text", stale)
    with pytest.raises(OSError, match="Stale"):
        claim_targets(out, [target("a", 1.0)])
    assert path.read_bytes() == before


@pytest.mark.parametrize("own", [{"Targets": {"haca3a_T2w": {"theta": "bright"}}}, {"Targets": 3}, [], {"Format": 99}])
def test_targets_that_this_version_cannot_read_are_an_error_in_words(raw: Path, tmp_path: Path, own: object) -> None:
    out = tmp_path / "out"
    describe_dataset(out, raw, version="1", weights=WEIGHTS)
    path = out / "dataset_description.json"
    write_json(path, (read_json(path) or {}) | {"Haca3": own})
    with pytest.raises(CannotCreate, match="cannot read the targets"):
        known_targets(out)


def test_a_lock_that_is_held_is_a_temporary_failure(tmp_path: Path) -> None:
    with locked(tmp_path, "sub-01"), pytest.raises(TemporaryFailure), locked(tmp_path, "sub-01", patience_s=0):
        pass


def test_json_is_written_whole(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "x.json", {"a": object()})
    assert read_json(tmp_path / "x.json") == {"a": 1}
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_an_output_that_cannot_be_made_is_73(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotCreate):
        describe_dataset(tmp_path / "file" / "out", raw, version="1", weights=WEIGHTS)
