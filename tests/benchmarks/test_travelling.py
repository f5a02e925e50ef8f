"""What harmonized images are measured against in the travelling benchmark."""

import numpy as np
import pytest
from travelling import (
    BOUND,
    HARMONIZED,
    SCANNED,
    against,
    differences,
    mean,
    results,
    share,
    true_tissues,
)

from haca3_bids.evaluation.segmentation import CSF, GREY, WHITE
from haca3_bids.physics.anatomy import FULL, Anatomy
from haca3_bids.physics.tissues import TISSUES
from haca3_bids.settings import CONTRASTS
from haca3_bids.volumes.volume import Volume


def test_true_tissues_are_the_largest_shares_and_air_is_none():
    shares = np.zeros((len(TISSUES), 1, 1, 6), np.uint8)
    for voxel, tissue in enumerate(("csf", "grey", "white", "lesion", "fat")):  # the sixth is air
        shares[TISSUES.index(tissue), 0, 0, voxel] = FULL
    np.testing.assert_array_equal(true_tissues(Anatomy(shares, "")).ravel(), [CSF, GREY, WHITE, WHITE, 0, 0])


def test_the_share_is_none_at_the_scan_and_all_at_what_can_be_known():
    assert [share(20, at, 28) for at in (20, 24, 28)] == [0, 0.5, 1]


def test_a_factor_is_forgiven_and_an_error_in_the_brain_is_seen_there():
    rng = np.random.default_rng(0)
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, 24)] * 3, indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    truth = Volume(np.where(radius < 0.9, 1 + 0.2 * rng.random(radius.shape), 0).astype(np.float32), np.eye(4))
    brain = radius < 0.5
    wrong = truth.data + 0.1 * brain * rng.standard_normal(radius.shape)
    same, worse = against(truth, brain, {BOUND: 700 * truth.data, SCANNED: wrong.astype(np.float32)})
    assert same["method"] == BOUND
    assert min(same["brain"], same["head"]) > 100
    assert worse["brain"] < worse["head"] < 40
    assert worse["ssim"] < same["ssim"] == pytest.approx(1, abs=1e-5)


def test_people_are_the_unit_and_every_person_and_contrast_is_tested():
    rows = [
        {"person": person, "contrast": contrast, "method": method, "brain": base + extra, "head": base, "ssim": 0.9}
        for person, extra in (("a", 0), ("a", 2), ("b", 4))
        for contrast in CONTRASTS
        for method, base in ((SCANNED, 20.0), (HARMONIZED, 23.0))
    ]
    found = results([*rows, {"person": "a", "contrast": "T1w", "method": SCANNED, "dice": {}}])
    assert mean(found, "T1w", SCANNED, "brain") == 22.5  # of (20 + 22) / 2 and 24
    np.testing.assert_allclose(differences(found), [3.0] * 8)
