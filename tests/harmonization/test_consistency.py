"""Voxels that look alike in every source look alike, in part, in the harmonized image."""

import copy
import dataclasses

import numpy as np
import pytest

from haca3_bids.errors import UsageError
from haca3_bids.harmonization.consistency import consistency_weight, consistent
from haca3_bids.harmonization.engine import harmonize
from haca3_bids.harmonization.prepare import Prepared
from haca3_bids.harmonization.target import Target
from haca3_bids.networks.haca3 import Haca3Config
from haca3_bids.settings import HarmonizationSettings

SHAPE = (24, 24, 24)
SOFT = Haca3Config(anatomy="soft")


def source(values, covered=None):
    return Prepared(values.astype(np.float32), values > 0, np.ones(SHAPE, bool) if covered is None else covered, 1.0)


@pytest.fixture
def scene():
    """Two sources, an image that is a function of both, and what the networks make of it: the same with errors."""
    rng = np.random.default_rng(0)
    one, two = rng.uniform(0.2, 1.5, (2, *SHAPE))
    mask = np.zeros(SHAPE, bool)
    mask[2:-2, 2:-2, 2:-2] = True
    true = (one * two + 0.3 * (one > 0.8)) * mask
    return one, two, mask, true, ((true + rng.normal(0, 0.2, SHAPE)) * mask).astype(np.float32)


def deviation(image, true, mask):
    return float(np.std((image - true)[mask]))


def test_errors_that_do_not_depend_on_the_sources_are_averaged_away(scene):
    one, two, mask, true, image = scene
    sources = {"T1w": source(one), "T2w": source(two)}
    half, whole = (consistent(image, sources, mask, weight, threads=1) for weight in (0.5, 1.0))
    before = deviation(image, true, mask)
    assert deviation(half, true, mask) < 0.65 * before
    assert deviation(whole, true, mask) < 0.5 * before
    assert not half[~mask].any()
    np.testing.assert_allclose(half[mask], (image[mask] + whole[mask]) / 2, atol=1e-6)
    with_one = consistent(image, {"T1w": source(one)}, mask, 1.0, threads=1)
    assert deviation(with_one, true, mask) > 2 * deviation(whole, true, mask)


def test_without_a_weight_nothing_is_done_and_threads_do_not_matter(scene):
    one, two, mask, _, image = scene
    sources = {"T1w": source(one), "T2w": source(two)}
    assert consistent(image, sources, mask, 0.0) is image
    alone, both = (consistent(image, sources, mask, 0.5, threads) for threads in (1, 2))
    np.testing.assert_array_equal(alone, both)


def test_what_a_source_does_not_cover_is_unknown_and_not_dark(scene):
    one, two, mask, true, image = scene
    covered = np.ones(SHAPE, bool)
    covered[12:] = False
    cut = source(np.where(covered, two, 0), covered)
    found = consistent(image, {"T1w": source(one), "T2w": cut}, mask, 1.0, threads=1)
    seen, unseen = mask & covered, mask & ~covered
    assert deviation(found, true, seen) < 0.6 * deviation(image, true, seen)
    assert abs(float((found - true)[unseen].mean())) < 0.05  # by the other source alone: no bias towards dark


def test_a_lone_source_of_another_contrast_says_too_little():
    settings = HarmonizationSettings()
    assert consistency_weight(settings, SOFT, ["T1w"], "T1w") == 0.5
    assert consistency_weight(settings, SOFT, ["T1w"], "FLAIR") == 0
    assert consistency_weight(settings, SOFT, ["T1w", "T2w"], "FLAIR") == 0.5
    assert consistency_weight(settings, Haca3Config(), ["T1w", "T2w"], "T1w") == 0
    assert consistency_weight(dataclasses.replace(settings, consistency=0.3), Haca3Config(), ["T1w"], "T1w") == 0.3
    authors = dataclasses.replace(settings, like_authors=True, consistency=0.3)
    assert consistency_weight(authors, SOFT, ["T1w"], "T1w") == 0


def test_a_share_beyond_one_is_refused_before_the_networks_run(tiny_heads, tiny, settings):
    wanted = dataclasses.replace(settings, consistency=1.5)
    target = Target("", "T1w", (2.0, 1.0), (0.3, 0.5), 900.0, "numbers")
    with pytest.raises(UsageError, match=r"1\.5"):
        harmonize({"T1w": tiny_heads["T1w"]}, [target], tiny, None, wanted)


def test_the_engine_takes_it_and_tells_it(tiny_heads, tiny, settings):
    model = copy.deepcopy(tiny.model)
    model.config = dataclasses.replace(model.config, anatomy="soft")
    soft = dataclasses.replace(tiny, model=model)
    sources = {name: tiny_heads[name] for name in ("T1w", "T2w")}
    target = Target("", "T1w", (2.0, 1.0), (0.3, 0.5), 900.0, "numbers")
    wanted = (dataclasses.replace(settings, threads=1, consistency=weight) for weight in (0.0, None))
    (none,), (some,) = (harmonize(sources, [target], soft, None, each) for each in wanted)
    assert (none.consistency, some.consistency) == (0.0, 0.5)
    inside = none.image.data > 0
    assert not np.array_equal(none.image.data, some.image.data)
    assert np.corrcoef(none.image.data[inside], some.image.data[inside])[0, 1] > 0.9
