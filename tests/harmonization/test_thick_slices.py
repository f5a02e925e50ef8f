"""A scan in thick slices does not blur what thin slices of another contrast show."""

import numpy as np
import pytest

from haca3_bids.evaluation.similarity import scaled_psnr_db
from haca3_bids.harmonization import voxelwise
from haca3_bids.harmonization.engine import harmonize
from haca3_bids.harmonization.job import load_networks
from haca3_bids.harmonization.target import target_from_reference
from haca3_bids.physics.anatomy import AFFINE, SHAPE, builtin_head
from haca3_bids.physics.cohort import rendered
from haca3_bids.physics.protocols import REFERENCE_PROTOCOLS, draw_site
from haca3_bids.physics.render import texture, tissue_weights
from haca3_bids.physics.scanner import Imperfections, acquire
from haca3_bids.physics.tissues import person_deviations
from haca3_bids.settings import HarmonizationSettings
from haca3_bids.volumes.builtin import load_icbm2009a
from haca3_bids.volumes.volume import Volume

THICK = {"T1w": Imperfections(1, noise=0.02), "T2w": Imperfections(2, noise=0.02, thickness_voxels=4, thick_axis=0)}
WANTED_DB = 0.5


@pytest.mark.slow
def test_the_thickness_of_slices_is_taken_into_account(monkeypatch):
    rng = np.random.default_rng(5)
    head, site, settings = builtin_head(load_icbm2009a()), draw_site(rng), HarmonizationSettings(device="cpu")
    deviations, local = person_deviations(rng), texture(SHAPE, rng)
    scans = {
        contrast: Volume(acquire(rendered(head, tissue_weights(site[contrast], deviations), local), how), AFFINE)
        for contrast, how in THICK.items()
    }
    truth = rendered(head, tissue_weights(REFERENCE_PROTOCOLS["T2w"], deviations), local)
    checkpoint = load_networks(settings).checkpoint
    targets = [target_from_reference("T2w", checkpoint)]

    def harmonized():
        (made,) = harmonize(scans, targets, checkpoint, None, settings, white=1.0)
        return made, scaled_psnr_db(made.image.data, truth, head.brain, head.head)

    found, psnr_db = harmonized()
    assert found.sources["T1w"].slice_width is None
    assert found.sources["T2w"].slice_width == pytest.approx(THICK["T2w"].thickness_voxels, rel=0.3)
    monkeypatch.setattr(voxelwise, "REPETITIONS", 1)
    assert psnr_db > harmonized()[1]
    monkeypatch.setattr(voxelwise, "slice_blur", lambda *_: None)
    assert psnr_db > harmonized()[1] + WANTED_DB
