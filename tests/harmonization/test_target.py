import dataclasses
import math

import numpy as np
import pytest

from haca3_bids.errors import BadInput, UsageError
from haca3_bids.harmonization.engine import encode_target
from haca3_bids.harmonization.target import Target, target_from_numbers, target_from_reference
from haca3_bids.records.files import from_json, to_json
from haca3_bids.volumes.volume import Volume


def test_a_target_survives_json():
    target = Target("siteA", "T2w", (1.0, -2.5), (0.3, 0.5), 870.0, "an image")
    assert from_json(to_json(target), Target) == target


def test_numbers_take_the_authors_eta_and_scale():
    target = target_from_numbers("T1w", (10, 20))
    assert target == Target("", "T1w", (10.0, 20.0), (0.3, 0.5), 1000.0, target.origin)
    assert target_from_numbers("T1w", (10, 20), (0.1, 0.2)).eta == (0.1, 0.2)


def test_a_built_in_reference_belongs_to_its_weights(checkpoint):
    target = target_from_reference("T2w", checkpoint)
    assert (target.theta, target.scale, target.name) == ((-0.4, -0.8), 900.0, "")
    with pytest.raises(UsageError, match="golden have no built-in reference for T1w"):
        target_from_reference("T1w", checkpoint)


@pytest.mark.parametrize("change", [{"theta": (1.0, math.nan)}, {"scale": 0.0}, {"eta": (1.0,)}, {"name": "a_b"}])
def test_impossible_targets_are_refused(change):
    fields = {"name": "", "contrast": "T1w", "theta": (0.0, 0.0), "eta": (0.0, 0.0), "scale": 1.0, "origin": ""}
    with pytest.raises(UsageError):
        Target(**(fields | change))


def test_a_target_away_from_the_middle_is_read_where_it_is(small_heads, checkpoint, settings):
    head = small_heads["T2w"]
    data = np.zeros((42, 100, 42), np.float32)
    data[1:41, 58:98, 1:41] = head.data
    target = encode_target(Volume(data, head.affine), "T2w", checkpoint, settings)
    assert np.isfinite(target.theta).all()
    assert target.scale > 0


def test_an_image_without_signal_in_its_field_of_view_is_refused(small_heads, checkpoint, settings):
    empty = small_heads["T2w"].with_data(np.zeros((40, 40, 40)))
    with pytest.raises(BadInput, match="95th percentile of T2w"):
        encode_target(empty, "T2w", checkpoint, settings)


def test_the_authors_arithmetic_refuses_voxels_that_are_not_1_mm(small_heads, checkpoint, settings):
    coarse = Volume(small_heads["T2w"].data, small_heads["T2w"].affine @ np.diag([1.2, 1.2, 1.2, 1]))
    with pytest.raises(BadInput, match="grid of 1 mm in MNI position"):
        encode_target(coarse, "T2w", checkpoint, dataclasses.replace(settings, like_authors=True))
