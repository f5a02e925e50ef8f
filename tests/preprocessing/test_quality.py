from __future__ import annotations

import numpy as np
import pytest

from haca3_bids.preprocessing.quality import (
    COREGISTRATION_LIMIT,
    Quality,
    coregistration_quality,
    edges_of,
    registration_quality,
    visible_trouble,
)
from haca3_bids.preprocessing.session import poor_registration
from haca3_bids.preprocessing.transforms import similarity_matrix
from haca3_bids.volumes.volume import Volume

WRONG = {
    "turned by 30 degrees": ((0.52, 0.0, 0.0), (0.0, 0.0, 0.0)),
    "20 mm too low": ((0.0, 0.0, 0.0), (0.0, 0.0, -20.0)),
    "upside down": ((3.14, 0.0, 0.0), (0.0, -36.0, 10.0)),
    "30 mm too far back": ((0.0, 0.0, 0.0), (0.0, -30.0, 0.0)),
}


def passes(quality) -> bool:
    return poor_registration(quality) is None


@pytest.mark.parametrize(
    ("similarity", "distinctness", "right"),
    [(0.3, 0.145, True), (0.3, 0.13, False), (0.2, 0.17, True), (0.2, 0.15, False), (0.1, 0.3, False)],
)
def test_weak_edges_must_be_more_distinct(similarity, distinctness, right) -> None:
    assert passes(Quality(similarity, distinctness, brain_in_head=1.0, brain_covered=1.0)) == right


@pytest.mark.parametrize("contrast", ["T1w", "T2w", "PDw", "FLAIR"])
@pytest.mark.parametrize("has_skull", [True, False])
def test_the_right_place_passes_whatever_the_contrast(phantom, contrast, has_skull) -> None:
    assert passes(registration_quality(phantom.scan(contrast), phantom.template(has_skull), np.eye(4)))


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_place_is_flagged(phantom, name) -> None:
    wrong = similarity_matrix(*WRONG[name])
    assert not passes(registration_quality(phantom.scan("T1w"), phantom.template(), wrong))


def test_a_scan_that_misses_the_brain_has_no_quality(phantom) -> None:
    far = similarity_matrix((0, 0, 0), (300, 0, 0))
    quality = registration_quality(phantom.scan("T1w"), phantom.template(), far)
    assert quality.similarity == 0
    assert quality.brain_covered == 0


def test_contrasts_of_one_head_tell_of_each_other_where_they_lie_upon_each_other(phantom) -> None:
    one, other = phantom.scan("T1w"), phantom.scan("FLAIR", seed=1)
    information, distinctness = coregistration_quality(other, one, np.eye(4))
    displaced = coregistration_quality(other, one, similarity_matrix((0, 0, 0), (0, 25, 0)))
    assert information > 2 * displaced[0]
    assert distinctness > COREGISTRATION_LIMIT > displaced[1]


def test_edges_of_a_slope_are_its_steepness_in_millimetres() -> None:
    zooms = np.array([1.0, 2.0, 4.0])
    data = 5.0 * (np.indices((30, 30, 20))[1] * zooms[1])
    edges = edges_of(Volume(data.astype(np.float32), np.diag([*zooms, 1.0]))).data
    np.testing.assert_allclose(edges[12:18, 12:18, 8:12], 5.0, rtol=0.02)
    assert edges[0, 0, 0] < 0


def test_what_is_wrong_with_a_scan_that_cannot_be_aligned_is_said(phantom) -> None:
    scan, template = phantom.scan("T1w"), phantom.template()
    rng = np.random.default_rng(0)
    white = float(np.percentile(scan.data, 95))
    half = scan.data.copy()
    half[: scan.shape[0] // 2] = 0
    noisy = np.hypot(
        scan.data + 0.3 * white * rng.standard_normal(scan.shape), 0.3 * white * rng.standard_normal(scan.shape)
    )
    assert visible_trouble(scan, template, np.eye(4)) == ""
    assert "is black" in visible_trouble(scan.with_data(half), template, np.eye(4))
    assert "noise" in visible_trouble(scan.with_data(noisy), template, np.eye(4))
    lost = similarity_matrix((0, 0, 0), (0, 0, 300))  # where the brain should be was not found
    assert "slices in one direction are black" in visible_trouble(scan.with_data(half), template, lost)
    narrow = Volume(scan.data[:, : int(100 / scan.zooms_mm[1])], scan.affine)
    assert "spans only" in visible_trouble(narrow, template, np.eye(4))
    faint = np.hypot(*(0.02 * white * rng.standard_normal((2, *scan.shape))))
    ghosted = scan.data + faint + 0.05 * np.roll(scan.data, scan.shape[1] // 2, axis=1)
    assert visible_trouble(scan.with_data(scan.data + faint), template, np.eye(4)) == ""
    assert "motion" in visible_trouble(scan.with_data(ghosted), template, np.eye(4))
