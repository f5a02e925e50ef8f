import numpy as np
import pytest
import torch

from haca3_bids.harmonization.fusion import fuse_in_slabs, median

CPU = torch.device("cpu")


@pytest.fixture
def stacks():
    chance = np.random.default_rng(0)
    return [chance.random((18, 20, 23), dtype=np.float32) * 2 for _ in range(3)]


@pytest.mark.parametrize("slab", [1, 2, 3, 5, 16, 23, 100])
def test_slabs_give_what_the_whole_volume_gives(fusion_net, stacks, slab):
    assert_fuses_like_the_whole(fusion_net, stacks, slab)


@pytest.mark.parametrize("box", [np.s_[3:20, 14:16, 11:25], np.s_[9:10, 0:30, 12:13], np.s_[:, 3:30, 20:]])
def test_air_that_is_left_out_changes_nothing(fusion_net, box):
    stacks = [np.zeros((26, 30, 34), np.float32) for _ in range(3)]
    for number, stack in enumerate(stacks):
        stack[box] = np.random.default_rng(number).random(stack[box].shape)
    assert_fuses_like_the_whole(fusion_net, stacks, 5)


def assert_fuses_like_the_whole(fusion_net, stacks, slab):
    whole = torch.from_numpy(np.stack([stack.transpose(2, 1, 0) for stack in stacks]))[None]
    with torch.inference_mode():
        wanted = fusion_net(whole)[0, 0].numpy().transpose(2, 1, 0)
        found = fuse_in_slabs(fusion_net, stacks, CPU, slab)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.ptp(wanted))


def test_the_median_is_numpys(stacks):
    assert np.array_equal(median(stacks), np.median(stacks, axis=0))
