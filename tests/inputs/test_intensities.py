"""Intensities that broke other tools: refused with a sentence of their own, or read rightly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_scans import BALL, GRID, NAME, SHAPE, Array, head, read, select, write

from haca3_bids.errors import BadInput
from haca3_bids.volumes.scan import load_scan

pytestmark = pytest.mark.usefixtures("quick")


def stripped(image: Array, background: float = 0) -> Array:
    return np.where(BALL, image, background)


def standardized(image: Array) -> Array:
    return (image - image.mean()) / image.std()


def standardized_in_the_head(image: Array) -> Array:
    return stripped((image - image[BALL].mean()) / image[BALL].std())


def to_one(image: Array) -> Array:
    return 2 * (image - image.min()) / (image.max() - image.min()) - 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (standardized, "appears to be standardized"),
        (standardized_in_the_head, "appears to be standardized"),
        (to_one, "appears to be standardized"),
        (lambda image: 7 - image, "appears to be standardized"),
        (lambda image: image.astype(np.float64) * 1e300, "too large for 32-bit floats"),
        (lambda image: np.full_like(image, np.nan), "not finite"),
        (lambda image: np.full_like(image, 42), "constant"),
    ],
)
def test_intensities_that_no_scanner_makes_are_refused_before_anything_is_computed(
    raw: Path, tmp_path: Path, change: Callable[[Array], Array], words: str
) -> None:
    path = write(raw / "sub-01/anat" / NAME, data=change(head()))
    assert len(select(raw).sessions) == 2
    with pytest.raises(BadInput, match=words):
        read(path, tmp_path / "read")


def ringing(image: Array) -> Array:
    return image + 12 * np.sin(np.arange(SHAPE[0]))[:, None, None].astype(np.float32)


@pytest.mark.parametrize(
    ("change", "right", "remark"),
    [
        (lambda image: stripped(image) + 100, stripped, "100"),
        (lambda image: stripped(image, -1000), stripped, "-1000"),
        (lambda image: np.where(GRID[2] > 0.9, 40, image), lambda image: np.where(GRID[2] > 0.9, 0, image), "40"),
        (lambda image: to_one(stripped(image)), lambda image: to_one(stripped(image)) + 1, "-1"),
        (lambda image: stripped(image, np.nan), stripped, ""),
        (lambda image: image + 100, lambda image: image + 100, ""),  # a floor of noise is no constant
        (ringing, ringing, ""),
        (lambda image: np.rint(image / 4).astype(np.int16), lambda image: np.rint(image / 4), ""),
    ],
)
def test_a_constant_background_becomes_zero_and_the_rest_stays(
    tmp_path: Path, change: Callable[[Array], Array], right: Callable[[Array], Array], remark: str
) -> None:
    path = write(tmp_path / NAME, data=np.asarray(change(head())))
    np.testing.assert_allclose(load_scan(path).image.data, right(head()), atol=1e-3)
    facts = read(path, tmp_path / "read")
    assert [f"background of {remark}, which" in one for one in facts.remarks] == ([True] if remark else [])
