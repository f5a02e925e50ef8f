"""What harmonized images are measured against in the travelling benchmark."""

import numpy as np
from travelling import true_tissues

from haca3_bids.evaluation.segmentation import CSF, GREY, WHITE
from haca3_bids.physics.anatomy import FULL, Anatomy
from haca3_bids.physics.tissues import TISSUES


def test_true_tissues_are_the_largest_shares_and_air_is_none():
    shares = np.zeros((len(TISSUES), 1, 1, 6), np.uint8)
    for voxel, tissue in enumerate(("csf", "grey", "white", "lesion", "fat")):  # the sixth is air
        shares[TISSUES.index(tissue), 0, 0, voxel] = FULL
    np.testing.assert_array_equal(true_tissues(Anatomy(shares, "")).ravel(), [CSF, GREY, WHITE, WHITE, 0, 0])
