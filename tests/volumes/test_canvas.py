from itertools import permutations, product

import numpy as np
import pytest
from scipy.ndimage import center_of_mass

from haca3_bids.volumes.canvas import CANVAS, fit_canvas, needs_content
from haca3_bids.volumes.volume import Volume, reorient, reorient_like

ALL_ORIENTATIONS = [
    tuple(pair[sign] for pair, sign in zip(axes, signs, strict=True))
    for axes in permutations(("RL", "AP", "SI"))
    for signs in product((0, 1), repeat=3)
]


def grid_of(shape: tuple[int, int, int], zooms: tuple[float, float, float] = (1, 1, 1), turn: float = 0) -> Volume:
    cosine, sine = np.cos(turn), np.sin(turn)
    rotation = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag(zooms)
    affine[:3, 3] = (-90, -120, -70)
    return Volume(np.zeros(shape, np.float32), affine)


def blob(grid: Volume, centre: np.ndarray, sigma_mm: float = 3) -> Volume:
    indices = np.indices(grid.shape).astype(np.float32)
    squares = sum((indices[axis] - centre[axis]) ** 2 * grid.zooms_mm[axis] ** 2 for axis in range(3))
    return grid.with_data(np.exp(-squares / 2 / sigma_mm**2))


@pytest.mark.parametrize("axes", ALL_ORIENTATIONS)
def test_any_orientation_comes_back_voxel_for_voxel(axes: tuple[str, str, str]) -> None:
    grid = grid_of((31, 40, 23))
    data = np.random.default_rng(0).random(grid.shape).astype(np.float32)
    image = reorient(grid.with_data(data), axes)
    canvas = fit_canvas(image)
    back = canvas.restore(canvas.place(image))
    assert np.array_equal(back.data, image.data)
    assert back.has_grid_of(image)
    assert np.array_equal(canvas.place(image), fit_canvas(grid).place(grid.with_data(data)))


@pytest.mark.parametrize("length", [1, 2, 181, 182, 192, 223, 224])
def test_an_axis_of_n_voxels_begins_where_the_released_program_puts_it(length: int) -> None:
    grid = grid_of((length, 8, 9))
    assert fit_canvas(grid).start == (112 - length // 2, 108, 108)


@pytest.mark.parametrize("shape", [(192, 224, 192), (193, 229, 193), (181, 217, 181), (256, 256, 256), (30, 300, 41)])
@pytest.mark.parametrize("turn", [0.0, 0.3])
def test_a_point_stays_where_it_was_through_canvas_and_back(shape: tuple[int, int, int], turn: float) -> None:
    grid = grid_of(shape, turn=turn)
    point = np.array(shape) / 2 + (3.3, -7.8, 5.1)
    image = blob(grid, point)
    canvas = fit_canvas(image, image.data > 0.1)
    back = canvas.restore(canvas.place(image))
    assert np.abs(np.array(center_of_mass(back.data)) - point).max() < 0.01
    assert np.allclose(back.affine, image.affine)


@pytest.mark.parametrize("zooms", [(0.8, 0.8, 0.8), (0.9, 0.9, 3.0), (1.3, 1.1, 1.2)])
@pytest.mark.parametrize("axes", [("R", "A", "S"), ("P", "I", "R")])
def test_a_point_stays_where_it_was_when_voxels_are_not_one_millimetre(
    zooms: tuple[float, float, float], axes: tuple[str, str, str]
) -> None:
    grid = reorient(grid_of((120, 110, 50), zooms), axes)
    point = np.array(grid.shape) / 2 + (1.3, -0.8, 0.6)
    image = blob(grid, point, sigma_mm=4)
    canvas = fit_canvas(image)
    placed = canvas.place(image)
    back = canvas.restore(placed)
    assert np.abs(np.array(center_of_mass(back.data)) - point).max() < 0.01
    assert back.has_grid_of(image)
    assert placed.sum() == pytest.approx(image.data.sum() * np.prod(zooms), rel=1e-3)  # 1 mm voxels
    assert np.abs(back.data - image.data).max() < 0.03


def test_an_axis_longer_than_the_canvas_is_cropped_about_the_head() -> None:
    grid = grid_of((10, 240, 12))
    head = np.zeros(grid.shape, bool)
    head[:, 14:236] = True
    image = grid.with_data(head * np.float32(7))
    canvas = fit_canvas(image, head)
    assert np.array_equal(canvas.restore(canvas.place(image)).data, image.data)
    assert canvas.cut_share == pytest.approx(16 / 240)


def test_a_neck_longer_than_the_canvas_is_cut_at_its_lower_end() -> None:
    grid = grid_of((10, 12, 300))  # RAS: the third axis points up
    head = np.ones(grid.shape, bool)
    head[:, :, 290:] = False
    image = grid.with_data(np.broadcast_to(np.arange(300, dtype=np.float32), grid.shape))
    canvas = fit_canvas(image, head)
    back = canvas.restore(canvas.place(image)).data
    assert back[0, 0, 289] == 289
    assert not back[:, :, : 290 - CANVAS].any()


def test_only_grids_longer_than_the_canvas_need_to_know_the_head() -> None:
    assert not needs_content(grid_of((192, 193, 192)))
    assert needs_content(grid_of((193, 229, 193)))


def test_masks_are_placed_like_images() -> None:
    grid = grid_of((50, 60, 70))
    mask = np.random.default_rng(0).random(grid.shape) > 0.5
    canvas = fit_canvas(grid)
    placed = canvas.place_mask(grid.with_data(mask))
    assert np.array_equal(reorient_like(canvas.restore(placed), grid).data > 0.5, mask)
