"""Anatomies: shares that add up, in the right place; label maps brought upright."""

import numpy as np
import pytest

from haca3_bids.physics.anatomy import AFFINE, FULL, SHAPE, builtin_head, placed
from haca3_bids.physics.labels import BRAINWEB, FREESURFER, _with_folia, _with_sulci, from_brainweb, upright
from haca3_bids.physics.tissues import TISSUES
from haca3_bids.volumes.builtin import load_icbm2009a
from haca3_bids.volumes.volume import Volume


@pytest.fixture(scope="module")
def head():
    return builtin_head(load_icbm2009a())


def test_the_shares_of_a_voxel_add_up_to_one_at_most(head):
    assert head.shares.sum(axis=0, dtype=np.uint16).max() <= FULL + len(TISSUES)  # each is rounded on its own


def test_the_built_in_head_wraps_the_brain_in_fluid_bone_and_scalp(head):
    middle = head.shares[:, 96, :, 96]  # a line from the forehead to the back of the head
    seen = [TISSUES[row] for row in middle.argmax(axis=0)[middle.sum(axis=0, dtype=np.uint16) > FULL // 2]]
    order = [name for i, name in enumerate(seen) if i == 0 or seen[i - 1] != name]
    assert order[0] == "skin"
    assert order.index("skin") < order.index("fat") < order.index("bone") < order.index("csf")
    assert 1.1e6 < head.brain.sum() < 2.2e6  # cubic millimetres


def test_the_white_matter_of_the_built_in_head_is_that_of_one_person(head):
    white, fluid = head.share_of("white"), head.share_of("csf")
    assert (white == 1).sum() > 250_000  # cubic millimetres; of the average of many 16,000
    assert (fluid[head.brain] > 0.2).mean() > 0.1  # sulci are not closed


def test_a_block_is_cut_where_it_leaves_the_grid():
    block = np.ones((10, 10, 10), np.float32)
    assert placed(block, [-4, 0, 190]).sum() == 6 * 10 * 2


def test_fluid_is_put_into_sulci_and_between_the_leaves_of_the_cerebellum_which_stays():
    x, y, z = np.indices((60, 60, 60)) - 30
    radius = np.sqrt(x**2 + y**2 + z**2)
    grey, white, csf = (TISSUES.index(name) + 1 for name in ("grey", "white", "csf"))
    crisp = np.where(radius < 10, white, np.where(radius < 22, grey, 0)).astype(np.uint8)
    cortex = crisp == grey
    cerebrum, cerebellum = _with_sulci(crisp, cortex), _with_folia(crisp, cortex)
    assert (cerebrum[cortex & (radius > 14.5)] == csf).all()  # 3.6 mm from the last white voxel
    assert (cerebrum[cortex & (radius < 13)] == grey).all()
    share = (cerebellum[cortex] == csf).mean()
    assert 0.1 < share < 0.3
    assert (cerebellum[radius < 12] != csf).all()
    np.testing.assert_array_equal(_with_folia(crisp, np.zeros_like(cortex)), crisp)


def test_every_label_has_a_known_tissue():
    assert set(BRAINWEB.values()) | set(FREESURFER.values()) <= set(TISSUES)


def test_half_millimetre_labels_become_partial_volume_where_they_were():
    data = np.zeros((40, 40, 40), np.float32)
    data[10:20, 10:20, 10:20] = 3  # white matter
    data[20, 10:20, 10:20] = 3  # half of the next voxel
    affine = np.diag([-0.5, -0.5, 0.5, 1.0])
    affine[:3, 3] = [0.25, 0.25, -0.25]
    anatomy = from_brainweb(Volume(data, affine))
    white = anatomy.share_of("white")
    assert white.sum() == pytest.approx(10 * 10 * 11 / 8, rel=0.01)
    centre = np.argwhere(white > 0).mean(axis=0) * [-1, -1, 1] + AFFINE[:3, 3]
    truth = affine[:3, :3] @ np.argwhere(data > 0).mean(axis=0) + affine[:3, 3]
    np.testing.assert_allclose(centre, truth, atol=1.0)  # to the voxel


@pytest.mark.slow
def test_a_tilted_brain_is_brought_upright():
    x, y, z = np.indices(SHAPE) - np.array(SHAPE).reshape(3, 1, 1, 1) / 2
    template = (x / 60) ** 2 + (y / 80) ** 2 + ((z - 5 * (y > 0)) / 55) ** 2 < 1
    angle = np.deg2rad(20)
    y2, z2 = np.cos(angle) * y - np.sin(angle) * z, np.sin(angle) * y + np.cos(angle) * z
    tilted = (x / 60) ** 2 + (y2 / 80) ** 2 + ((z2 - 5 * (y2 > 0)) / 55) ** 2 < 1
    matrix, _ = upright(tilted, template)
    found = np.rad2deg(np.arcsin(np.abs(matrix[1, 2])))
    assert found == pytest.approx(20, abs=3)
