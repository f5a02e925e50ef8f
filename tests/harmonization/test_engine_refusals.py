"""What the engine refuses: images without signal or on different grids, names that it would ignore, odd grids."""

import dataclasses

import numpy as np
import pytest

from haca3_bids.errors import BadInput, UsageError
from haca3_bids.harmonization.engine import encode_targets, harmonize
from haca3_bids.harmonization.target import Target
from haca3_bids.volumes.volume import Volume

TARGET = Target("", "T2w", (-0.4, -0.8), (-1.8, 1.7), 900.0, "numbers")


def test_images_on_different_grids_are_refused(pair, small_heads, tiny, settings):
    with pytest.raises(BadInput, match=r"T2w .* does not share the grid of T1w"):
        harmonize({"T1w": pair["T1w"], "T2w": small_heads["T2w"]}, [TARGET], tiny, None, settings)
    with pytest.raises(BadInput, match="head mask"):
        harmonize(pair, [TARGET], tiny, None, settings, head_mask=small_heads["T2w"])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sources": "T1"}, "'T1' is not one of T1w, T2w, PDw, FLAIR"),
        ({"coverage": "T2w"}, "'T2w' is not one of T1w"),
        ({"protocols": "T2w"}, "'T2w' is not one of T1w"),
        ({"extras": ("alpha",)}, "'alpha' is not one of beta, attention, std"),
    ],
)
def test_names_that_would_be_ignored_are_refused(change, sentence, pair, tiny, settings):
    named = {key: value if key == "extras" else {value: pair["T1w"]} for key, value in change.items()}
    sources = named.pop("sources", {"T1w": pair["T1w"]})
    with pytest.raises(UsageError, match=sentence):
        harmonize(sources, [TARGET], tiny, None, settings, **named)


def test_a_target_of_no_image_and_a_coverage_on_another_grid_are_refused(pair, small_heads, tiny, settings):
    with pytest.raises(UsageError, match="At least one image"):
        encode_targets({}, tiny, settings)
    with pytest.raises(BadInput, match=r"the coverage of T1w .* does not share the grid of T1w"):
        harmonize({"T1w": pair["T1w"]}, [TARGET], tiny, None, settings, coverage={"T1w": small_heads["T2w"]})


def test_an_empty_source_is_refused(pair, tiny, settings):
    empty = pair["T1w"].with_data(np.zeros(pair["T1w"].shape))
    with pytest.raises(BadInput, match="95th percentile of T1w is 0"):
        harmonize({"T1w": empty}, [TARGET], tiny, None, settings)


def test_a_source_of_which_nothing_is_visible_is_named(pair, tiny, settings):
    half = np.zeros(pair["T1w"].shape)
    half[:, :, :6] = 1
    coverage = {"T2w": pair["T2w"].with_data(1 - half)}
    with pytest.raises(BadInput, match="T2w shows nothing of the head"):
        harmonize(pair, [TARGET], tiny, None, settings, coverage=coverage, head_mask=pair["T1w"].with_data(half))


def test_nonsense_is_a_usage_error(pair, tiny, settings):
    with pytest.raises(UsageError):
        harmonize({}, [TARGET], tiny, None, settings)
    with pytest.raises(UsageError):
        harmonize(pair, [], tiny, None, settings)
    with pytest.raises(UsageError, match="beta mean"):
        harmonize(pair, [TARGET], tiny, None, dataclasses.replace(settings, beta="mean"))


TURN = [[np.cos(0.1), -np.sin(0.1), 0, 0], [np.sin(0.1), np.cos(0.1), 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
SHIFT = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 300], [0, 0, 0, 1]]
REFUSED = {"voxels of 0.8 x 1 x 1 mm": np.diag([0.8, 1, 1, 1]), "not upright": TURN, "not in MNI position": SHIFT}


@pytest.mark.parametrize("found", REFUSED)
def test_the_authors_arithmetic_refuses_what_is_not_1_mm_in_mni_position(pair, tiny, settings, found):
    moved = {name: Volume(volume.data, volume.affine @ REFUSED[found]) for name, volume in pair.items()}
    with pytest.raises(BadInput, match=f"The grid .*{found}"):
        harmonize(moved, [TARGET], tiny, None, dataclasses.replace(settings, like_authors=True))
