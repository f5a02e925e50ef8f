"""What a source shows beyond the networks' own image of it."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from haca3_bids.errors import UsageError
from haca3_bids.harmonization.engine import harmonize
from haca3_bids.harmonization.residual import SHARE, share, with_residual
from haca3_bids.harmonization.target import Target, encode_target
from haca3_bids.networks.haca3 import Haca3Config
from haca3_bids.settings import HarmonizationSettings

FAR = Target("", "T1w", (2.0, 1.0), (0.3, 0.5), 900.0, "numbers")


@pytest.fixture
def settings(settings):
    return dataclasses.replace(settings, threads=1)


def made(sources, target, checkpoint, settings, residual):
    (found,) = harmonize(sources, [target], checkpoint, None, dataclasses.replace(settings, residual=residual))
    return found


def test_with_all_of_its_residual_a_scan_harmonized_to_itself_is_itself(tiny_heads, tiny, settings):
    scan = tiny_heads["T1w"]
    target = encode_target(scan, "T1w", tiny, settings)
    found = made({"T1w": scan}, target, tiny, settings, 1.0)
    inside = found.image.data > 0
    assert inside.sum() > 500
    np.testing.assert_allclose(found.image.data[inside], scan.data[inside], rtol=2e-3)
    without = made({"T1w": scan}, target, tiny, settings, 0.0)
    assert np.corrcoef(without.image.data[inside], scan.data[inside])[0, 1] < 0.99
    assert (found.residual, without.residual) == (1.0, 0.0)


def test_only_an_image_of_the_sources_own_contrast_is_given_its_residual(tiny_heads, tiny, settings):
    sources = {name: tiny_heads[name] for name in ("T1w", "T2w")}
    other = dataclasses.replace(FAR, contrast="FLAIR")
    none, half = (made(sources, other, tiny, settings, weight) for weight in (0.0, 0.5))
    assert np.array_equal(none.image.data, half.image.data)
    assert half.residual == 0
    assert not np.array_equal(*(made(sources, FAR, tiny, settings, weight).image.data for weight in (0.0, 0.5)))


def test_the_weights_say_how_much_and_the_authors_have_none(tiny_heads, tiny, settings):
    sources = {"T1w": tiny_heads["T1w"]}
    assert made(sources, FAR, tiny, settings, None).residual == 0
    model = copy.deepcopy(tiny.model)
    model.config = dataclasses.replace(model.config, anatomy="soft")
    soft = dataclasses.replace(tiny, model=model)
    assert made(sources, FAR, soft, settings, None).residual == SHARE["soft"] == 0.5
    authors = HarmonizationSettings(like_authors=True, residual=0.5)
    assert share(authors.residual, authors, Haca3Config(anatomy="soft")) == 0


def test_a_source_that_attention_leaves_aside_lends_no_residual():
    image, source, own = torch.rand(3, 2, 4, 4).unbind()
    alpha = torch.tensor([[0.6, 0.3, 0.1], [0.5, 0.0, 0.5]])[:, :, None, None].expand(-1, -1, 4, 4)
    best, second = (with_residual(image, source, own, alpha, number, 0.5) for number in (0, 1))
    torch.testing.assert_close(best, (image + 0.5 * (source - own)).clamp(min=0))
    torch.testing.assert_close(second[0], (image + 0.25 * (source - own))[0].clamp(min=0))
    torch.testing.assert_close(second[1], image[1])
    nobody = with_residual(image, source, own, torch.zeros_like(alpha), 0, 1.0)
    torch.testing.assert_close(nobody, image)


def test_a_share_beyond_one_is_refused():
    with pytest.raises(UsageError, match=r"1\.5"):
        share(1.5, HarmonizationSettings(), Haca3Config())
