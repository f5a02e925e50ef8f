"""The standard error of an alignment."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from haca3_bids.preprocessing.uncertainty import _derivatives, uncertainty
from haca3_bids.volumes.volume import Volume


def test_gradients_and_curvature_of_a_quadratic_are_exact() -> None:
    rng = np.random.default_rng(0)
    forms, slopes = rng.normal(size=(4, 6, 6)), rng.normal(size=(4, 6))
    forms = forms + forms.transpose(0, 2, 1)
    gradient, curvature = _derivatives(lambda x: 0.5 * np.einsum("i,nij,j->n", x, forms, x) + slopes @ x)
    np.testing.assert_allclose(gradient, slopes, atol=1e-12)
    np.testing.assert_allclose(curvature, forms.sum(axis=0), atol=1e-12)


@pytest.mark.parametrize("contrast", ["T1w", "T2w", "FLAIR"])
def test_a_sharp_scan_holds_its_place_better_than_a_blurred_one(phantom, contrast) -> None:
    template, scan = phantom.template(), phantom.scan(contrast, np.eye(4))
    sharp = uncertainty(scan, template, np.eye(4))
    blurred = scan.with_data(ndimage.gaussian_filter(scan.data, 8 / scan.zooms_mm))
    assert 0 < sharp.turn_deg < 1.5
    assert 0 < sharp.shift_mm < 1
    assert uncertainty(blurred, template, np.eye(4)).turn_deg > 1.3 * sharp.turn_deg


def test_a_slab_is_less_certain_than_the_whole_by_what_it_does_not_see(phantom) -> None:
    template, scan = phantom.template(), phantom.scan("T1w", np.eye(4))
    whole = uncertainty(scan, template, np.eye(4))
    lifted = scan.affine.copy()
    lifted[:3, 3] += 20 * scan.affine[:3, 2]
    slab = Volume(scan.data[:, :, 20:42], lifted)
    part = uncertainty(slab, template, np.eye(4))
    assert part.turn_deg > 1.3 * whole.turn_deg
    assert part.shift_mm > 1.3 * whole.shift_mm
