"""Heads of label maps: each has a name and a file of its own, and is computed once."""

import numpy as np
import pytest

from haca3_bids.errors import BadInput
from haca3_bids.physics.anatomy import Anatomy
from haca3_bids.training import heads
from haca3_bids.training.heads import find_label_maps, load_heads


@pytest.fixture
def made(monkeypatch):
    """The names of the heads that are computed: one voxel, whose value is their number."""
    names = []

    def head(name):
        names.append(name)
        return Anatomy(np.full((1, 1, 1, 1), len(names), np.uint8), name)

    monkeypatch.setattr(heads, "builtin_head", lambda icbm: head("builtin"))
    monkeypatch.setattr(heads, "load_icbm2009a", dict)
    monkeypatch.setattr(heads, "head_from_labels", lambda path, builtin, name: head(name))
    return names


def folder_of(tmp_path, *files):
    for file in files:
        path = tmp_path / "labels" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "labels"


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["one.nii.gz", "two.crisp.nii"], ["one", "two"]),
        (["s1/aseg.nii.gz", "s2/aseg.nii.gz", "z-aseg.nii.gz"], ["s1/aseg", "s2/aseg", "z-aseg"]),
        (["s.aseg.nii.gz", "s.wm.nii.gz"], ["s.aseg.nii.gz", "s.wm.nii.gz"]),
        (["s.nii", "s.nii.gz"], ["s.nii", "s.nii.gz"]),
        (["builtin.nii.gz", "s/builtin.nii.gz"], ["builtin.nii.gz", "s/builtin"]),
    ],
)
def test_every_label_map_is_a_head_of_its_own(files, names, made, tmp_path):
    found = find_label_maps(folder_of(tmp_path, *files))
    assert list(found) == names
    assert [str(path.relative_to(tmp_path / "labels")) for path in found.values()] == files
    loaded = load_heads(found, tmp_path / "cache")
    assert [head.name for head in loaded] == made == ["builtin", *names]
    assert [int(head.shares.item()) for head in loaded] == list(range(1, len(names) + 2))


def test_a_head_is_computed_once(made, tmp_path):
    found = find_label_maps(folder_of(tmp_path, "one.nii.gz", "s/one.nii.gz"))
    first, again = load_heads(found, tmp_path / "cache"), load_heads(found, tmp_path / "cache")
    assert made == ["builtin", "one", "s/one"]
    assert [head.shares.item() for head in first] == [head.shares.item() for head in again]
    assert (tmp_path / "cache" / "one.npy").exists()


def test_a_head_is_computed_again_when_its_map_has_changed(made, tmp_path):
    found = find_label_maps(folder_of(tmp_path, "one.nii.gz", "two.nii.gz"))
    load_heads(found, tmp_path / "cache")
    found["one"].write_bytes(b"other labels")
    again, once_more = (load_heads(found, tmp_path / "cache") for _ in range(2))
    assert made == ["builtin", "one", "two", "one"]
    assert [int(head.shares.item()) for head in again] == [int(head.shares.item()) for head in once_more] == [1, 4, 3]


def test_a_folder_without_label_maps_is_a_sentence(tmp_path):
    with pytest.raises(BadInput, match="contains no label map"):
        find_label_maps(tmp_path)
