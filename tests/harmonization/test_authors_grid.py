"""The authors' grid: 192 x 224 x 192 voxels of 1 mm in MNI position, to which other grids are cut and padded."""

import numpy as np
import pytest

from haca3_bids.harmonization.engine import harmonize
from haca3_bids.harmonization.prepare import Rim, fit_images, prepare
from haca3_bids.harmonization.target import Target
from haca3_bids.settings import HarmonizationSettings
from haca3_bids.volumes.canvas import authors_window
from haca3_bids.volumes.volume import Volume, reorient

TARGET = Target("", "T2w", (-0.4, -0.8), (-1.8, 1.7), 900.0, "numbers")
SETTINGS = HarmonizationSettings(device="cpu", like_authors=True, background="none")
AUTHORS = ((192, 224, 192), np.array([[-1.0, 0, 0, 96], [0, -1, 0, 96], [0, 0, 1, -78], [0, 0, 0, 1]]))
GRIDS = {  # shape, RAS+ millimetres of the first voxel of an RAS+ array
    "ICBM 2009c": ((193, 229, 193), (-96, -132, -78)),
    "MNI152 of FSL": ((182, 218, 182), (-91, -126, -72)),
    "small": ((40, 50, 30), (-20, -30, 5)),
}


def filled(shape, affine):
    """Each voxel tells its own place in MNI space, in millimetres."""
    x, y, z = np.indices(shape, np.float32)
    places = [affine[axis, 0] * x + affine[axis, 1] * y + affine[axis, 2] * z + affine[axis, 3] for axis in range(3)]
    return Volume((places[0] + 100 + 200 * (places[1] + 140) + 48000 * (places[2] + 80)).astype(np.float32), affine)


@pytest.fixture(scope="module")
def own():
    return filled(*AUTHORS)


def test_the_authors_own_grid_is_taken_as_it_is_stored(own):
    elsewhere = Volume(own.data, own.affine.copy())
    elsewhere.affine[0, 3] += 40
    for image in (own, elsewhere):
        canvas = fit_images({"T1w": image}, Rim({}), SETTINGS)
        assert np.array_equal(canvas.place(image)[authors_window()], own.data)
        assert canvas.cut_share == 0


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("axes", ["RAS", "LPS", "ASL"])
def test_every_voxel_meets_its_place_in_mni_space_and_comes_back(own, name, axes):
    shape, first = GRIDS[name]
    affine = np.eye(4)
    affine[:3, 3] = first
    image = reorient(filled(shape, affine), tuple(axes))
    canvas = fit_images({"T1w": image}, Rim({}), SETTINGS)
    placed = canvas.place(image)
    seen = placed > 0
    wanted = np.zeros_like(placed)
    wanted[authors_window()] = own.data
    assert np.array_equal(placed[seen], wanted[seen])
    back = canvas.restore(placed)
    assert back.has_grid_of(image)
    kept = back.data > 0
    assert np.array_equal(back.data[kept], image.data[kept])
    assert 1 - kept.mean() == pytest.approx(canvas.cut_share)
    assert (canvas.cut_share > 0) == (name == "ICBM 2009c")


def test_the_percentile_is_that_of_the_whole_grid_of_the_authors():
    affine = np.eye(4)
    affine[:3, 3] = (-60, -70, -40)
    data = np.random.default_rng(0).random((120, 140, 110), dtype=np.float32)
    image = Volume(data, affine)
    canvas = fit_images({"T1w": image}, Rim({}), SETTINGS)
    padded = np.zeros(AUTHORS[0], np.float32)
    padded.flat[: data.size] = data.ravel()
    assert prepare("T1w", image, canvas, Rim({}), SETTINGS, 1e-6).scale == pytest.approx(np.percentile(padded, 95))


def test_on_the_templates_grid_the_authors_arithmetic_gives_what_it_gives_on_theirs(tiny):
    block = np.random.default_rng(0).random((76, 76, 76), dtype=np.float32) + 0.5  # more than 5 % of the grid
    data = np.zeros(AUTHORS[0], np.float32)
    data[60:136, 70:146, 50:126] = block
    own = Volume(data, AUTHORS[1])
    shape, first = GRIDS["ICBM 2009c"]
    affine = np.eye(4)
    affine[:3, 3] = first
    template = np.zeros(shape, np.float32)
    template[1:, 5:, :192] = data[::-1, ::-1]
    on_template = Volume(template, affine)
    (wanted,) = harmonize({"T1w": own}, [TARGET], tiny, None, SETTINGS)
    (found,) = harmonize({"T1w": on_template}, [TARGET], tiny, None, SETTINGS)
    assert found.image.has_grid_of(on_template)
    assert np.array_equal(found.image.data[1:, 5:, :192][::-1, ::-1], wanted.image.data)
    assert found.image.data[0].max() == found.image.data[:, :5].max() == found.image.data[:, :, 192].max() == 0
    assert found.record.cut_share == pytest.approx(1 - np.prod(data.shape) / np.prod(shape))
    assert wanted.record.cut_share == 0
    assert found.sources == wanted.sources
