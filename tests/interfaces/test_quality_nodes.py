from __future__ import annotations

import numpy as np

from haca3_bids.interfaces.quality import as_scanned
from haca3_bids.preprocessing.quality import AIR_MM
from haca3_bids.preprocessing.transforms import similarity_matrix
from haca3_bids.quality.scan import Regions, air_above
from haca3_bids.volumes.volume import Volume

SHAPE = (160, 160, 160)
SHIFT_MM = np.array([12.0, -8.0, 6.0])  # of the scan from the template grid


def test_masks_of_the_template_grid_lie_on_the_scan_that_lies_elsewhere() -> None:
    grid = Volume(np.zeros(SHAPE, np.float32), np.diag([1.0, 1.0, 1.0, 1.0]))
    from_centre = np.sqrt(((np.indices(SHAPE) - 80.0) ** 2).sum(axis=0))
    brain, white = from_centre < 38, from_centre < 20
    regions = Regions(from_centre < 45, brain, white, brain & ~white, np.zeros(SHAPE, bool), air_above(brain))
    pull = similarity_matrix((0, 0, 0), SHIFT_MM)  # template mm to scan mm
    places = np.indices((90, 90, 90)) * 2.0  # mm of the scan
    beside = np.sqrt(((places - (80.0 + SHIFT_MM)[:, None, None, None]) ** 2).sum(axis=0))
    copy = Volume(np.where(beside < 66, 1000.0, 10.0).astype(np.float32), np.diag([2.0, 2.0, 2.0, 1.0]))
    raw = as_scanned(copy, grid, pull, regions, np.ones(SHAPE, bool), np.zeros(copy.shape, bool))
    np.testing.assert_allclose(np.argwhere(raw.white).mean(axis=0) * 2.0, 80.0 + SHIFT_MM, atol=0.5)
    assert raw.air.any()
    assert beside[raw.air].min() > 66 + AIR_MM - 2  # scalp 28 mm thick is no air
