import numpy as np
import pytest

from haca3_bids.volumes.slices import ORIENTATIONS, cut


@pytest.fixture
def volume() -> np.ndarray:
    return np.random.default_rng(0).random((5, 6, 7))


def test_rows_and_columns_are_those_of_the_released_program(volume: np.ndarray) -> None:
    assert cut(volume, "axial")[3, 4, 2] == volume[2, 4, 3]
    assert cut(volume, "coronal")[3, 4, 2] == volume[2, 3, 6 - 4]
    assert cut(volume, "sagittal")[3, 4, 2] == volume[3, 2, 6 - 4]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_slices_of_any_orientation_reassemble_the_volume(volume: np.ndarray, orientation: str) -> None:
    other = np.zeros_like(volume)
    cut(other, orientation)[:] = cut(volume, orientation)
    assert np.array_equal(other, volume)


def test_an_unknown_orientation_is_an_error(volume: np.ndarray) -> None:
    with pytest.raises(ValueError, match="oblique"):
        cut(volume, "oblique")
