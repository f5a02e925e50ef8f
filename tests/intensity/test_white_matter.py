from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haca3_bids.errors import BadInput
from haca3_bids.intensity.white_matter import white_matter_peak

ALL = np.ones(60_000, np.bool_)


def tissue(noise: float = 0.05, lesions: float = 0.0, other: float = 0.0, seed: int = 0) -> np.ndarray:
    """White matter at 500 with a share of lesions (350 in a T1w) and of grey matter and CSF."""
    generator = np.random.default_rng(seed)
    values = np.full(ALL.size, 500.0)
    kinds = generator.random(ALL.size)
    values[kinds < lesions] = 350
    values[(kinds >= lesions) & (kinds < lesions + other)] = 300
    return values * (1 + noise * generator.normal(size=ALL.size))


@pytest.mark.parametrize("noise", [0.01, 0.05, 0.1])
def test_the_peak_is_the_commonest_intensity(noise: float) -> None:
    assert white_matter_peak(tissue(noise), ALL) == pytest.approx(500, rel=0.01)


def test_lesions_and_partial_volume_do_not_move_it() -> None:
    assert white_matter_peak(tissue(lesions=0.2, other=0.15), ALL) == pytest.approx(500, rel=0.01)


@given(st.floats(1e-3, 1e6))
@settings(max_examples=10, deadline=None)
def test_it_has_the_unit_of_the_image(factor: float) -> None:
    image = tissue(lesions=0.1)
    assert white_matter_peak(factor * image, ALL) == pytest.approx(factor * white_matter_peak(image, ALL), rel=1e-6)


def test_what_lies_outside_the_mask_does_not_count() -> None:
    image = np.concatenate([tissue(), np.full(200_000, 80.0)])
    mask = np.arange(image.size) < ALL.size
    assert white_matter_peak(image, mask) == pytest.approx(500, rel=0.01)


def test_integers_have_a_peak_between_them() -> None:
    assert white_matter_peak(np.round(tissue(0.04) / 20), ALL) == pytest.approx(25, rel=0.03)


@pytest.mark.parametrize("measured", [0.1, 0.5, 0.7])
def test_traces_of_an_interpolation_in_zeros_are_no_peak(measured: float) -> None:
    image = tissue(0.1)
    padded = np.arange(image.size) > measured * image.size
    image[padded] = 500 * np.exp(-np.random.default_rng(1).exponential(20, padded.sum()))  # splines decay like this
    assert white_matter_peak(image, ALL) == pytest.approx(500, rel=0.02)


def test_a_mask_without_signal_is_refused() -> None:
    with pytest.raises(BadInput, match="Only 0 voxels of white matter"):
        white_matter_peak(np.zeros(ALL.size), ALL)
