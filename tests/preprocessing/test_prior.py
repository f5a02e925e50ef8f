from __future__ import annotations

import numpy as np

from haca3_bids.evaluation.overlap import dice
from haca3_bids.preprocessing import session
from haca3_bids.preprocessing.prior import brain_on_template_grid, regions_of_aligned, white_matter_core
from haca3_bids.preprocessing.registration import TemplateAlignment
from haca3_bids.preprocessing.resampling import resample
from haca3_bids.preprocessing.transforms import inverse, rigid_part, similarity_matrix
from haca3_bids.settings import PreprocessingSettings

CENTRE = (0.0, -18.0, 5.0)
AT_HOME = TemplateAlignment(np.eye(4), np.eye(4))


def alignment(scale: float) -> TemplateAlignment:
    affine = similarity_matrix((0.1, 0.0, -0.1), (3.0, 2.0, 1.0), np.log(scale), CENTRE)
    return TemplateAlignment(rigid_part(affine, CENTRE), affine)


def test_an_aligned_head_has_the_templates_own_brain(phantom) -> None:
    template = phantom.template()
    np.testing.assert_array_equal(brain_on_template_grid(template, AT_HOME), template.brain.data > 0.5)


def test_a_smaller_head_has_a_smaller_brain_at_the_same_centre(phantom) -> None:
    template = phantom.template()
    small, whole = brain_on_template_grid(template, alignment(0.9)), template.brain.data > 0.5
    assert 0.68 < small.sum() / whole.sum() < 0.78
    assert whole[small].mean() > 0.99


def test_the_core_is_white_matter_of_the_subject(phantom) -> None:
    small = alignment(0.92)
    pure = phantom.mask(5)
    core = white_matter_core(phantom.template(), small)
    assert core.sum() > 500
    assert pure[core].mean() > 0.95


def test_the_field_of_a_scan_is_estimated_where_the_scan_has_its_brain(phantom, monkeypatch) -> None:
    monkeypatch.setattr(session, "log_field", lambda raw, settings, brain: brain)
    moved = alignment(1.0)
    scan = phantom.scan("T1w", moved.rigid)
    brain = session.field_in_brain(scan, phantom.template(), moved, np.eye(4), PreprocessingSettings())
    assert np.median(scan.data[brain]) > 180
    assert abs(brain.sum() / phantom.mask(3, 4, 5).sum() - 1) < 0.03


def test_the_regions_of_an_aligned_head_of_another_size_are_stretched_to_it(phantom) -> None:
    template = phantom.template()
    small = similarity_matrix((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), np.log(0.92), CENTRE)
    image = resample(phantom.image("T1w"), template.head, inverse(small), order=1)
    brain, _ = regions_of_aligned(image, template, PreprocessingSettings(sloppy=True))
    expected = brain_on_template_grid(template, TemplateAlignment(np.eye(4), small))
    assert dice(brain, expected) > 0.96 > dice(template.brain.data > 0.5, expected)
