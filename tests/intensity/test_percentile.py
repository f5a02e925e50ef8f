import numpy as np
import pytest

from haca3_bids.errors import BadInput
from haca3_bids.intensity.percentile import estimated_coverage, scaled, upper_percentile


def test_the_scale_is_the_95th_percentile_with_the_background_included() -> None:
    image = np.arange(101, dtype=np.float32).reshape(101, 1, 1)
    assert upper_percentile(image) == pytest.approx(95)


def test_scaled_images_lie_between_zero_and_five() -> None:
    image = np.array([-3, 0, 2, 100], np.float32)
    assert scaled(image, 2.0) == pytest.approx(np.array([0, 0, 1, 5]), abs=1e-4)


@pytest.mark.parametrize("unit", [1e-9, 1e-6, 1e-3, 1.0, 1e9])
def test_the_unit_of_an_image_does_not_matter(unit: float) -> None:
    image = np.linspace(0, 5, 101, dtype=np.float32)
    assert scaled(image * np.float32(unit), 2 * unit) == pytest.approx(image / 2, rel=2e-3)


def test_a_percentile_of_zero_is_refused() -> None:
    with pytest.raises(BadInput, match="95th percentile of sub-1"):
        upper_percentile(np.zeros((3, 3, 3), np.float32), "sub-1")
    with pytest.raises(BadInput):
        upper_percentile(np.zeros(0, np.float32))


def sphere(radius: float = 20) -> np.ndarray:
    x, y, z = np.indices((50, 50, 50)) - 24.5
    return (x**2 + y**2 + z**2 < radius**2).astype(np.float32)


def test_a_whole_head_is_taken_as_fully_covered() -> None:
    assert estimated_coverage(sphere()).all()


def test_a_head_that_ends_in_a_plane_is_covered_up_to_there() -> None:
    image = sphere()
    image[:, :, 30:] = 0
    expected = np.ones(image.shape, bool)
    expected[:, :, 30:] = False
    assert np.array_equal(estimated_coverage(image), expected)


def test_an_empty_image_has_no_estimate_to_cut() -> None:
    assert estimated_coverage(np.zeros((4, 4, 4), np.float32)).all()
