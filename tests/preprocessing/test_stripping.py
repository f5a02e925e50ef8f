from __future__ import annotations

import numpy as np
import pytest

from haca3_bids.preprocessing.stripping import looks_stripped


@pytest.mark.parametrize("contrast", ["T1w", "T2w", "PDw", "FLAIR"])
def test_a_scan_is_stripped_if_nothing_is_left_about_its_brain(phantom, contrast) -> None:
    whole, brain, everywhere = phantom.scan(contrast), phantom.mask(3, 4, 5), np.ones(phantom.labels.shape, np.bool_)
    stripped = whole.with_data(whole.data * brain)
    assert looks_stripped(stripped, brain, everywhere)
    assert not looks_stripped(whole, brain, everywhere)


def test_nothing_is_said_of_a_skull_that_the_scan_does_not_show(phantom) -> None:
    brain = phantom.mask(3, 4, 5)
    scan = phantom.scan("T1w")
    assert not looks_stripped(scan.with_data(scan.data * brain), brain, brain)
