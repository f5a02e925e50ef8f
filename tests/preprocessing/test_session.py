from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from haca3_bids.errors import BadInput
from haca3_bids.preprocessing import registration, session
from haca3_bids.preprocessing.registration import TemplateAlignment
from haca3_bids.preprocessing.resampling import shrink
from haca3_bids.preprocessing.search import Start
from haca3_bids.preprocessing.transforms import similarity_matrix
from haca3_bids.records.preprocessing import Preprocessing, Registration, ScanFacts, gathered
from haca3_bids.settings import PreprocessingSettings

FAST = PreprocessingSettings(sloppy=True)
UPSIDE_DOWN = similarity_matrix((3.14, 0.0, 0.0), (0.0, 0.0, 0.0), 0.0, (0.0, -18.0, 5.0))
BESIDE = similarity_matrix((0, 0, 0), (250.0, 0.0, 0.0))


@pytest.mark.parametrize("wrong", [UPSIDE_DOWN, BESIDE], ids=["upside down", "beside the head"])
def test_a_failed_registration_ends_the_session_with_a_sentence(phantom, monkeypatch, wrong) -> None:
    monkeypatch.setattr(session, "register_to_template", lambda *_: TemplateAlignment(wrong, wrong))
    with pytest.raises(BadInput, match="The registration to the template failed: .*required") as caught:
        session.registered(phantom.scan("T1w"), phantom.template(), FAST)
    assert caught.value.hint


def test_a_contrast_of_something_else_is_refused_by_its_name(phantom, monkeypatch) -> None:
    monkeypatch.setattr(session, "coregister", lambda *_: BESIDE)
    with pytest.raises(BadInput, match="The FLAIR could not be registered"):
        session.coregistered(phantom.scan("FLAIR"), phantom.scan("T1w"), FAST, "FLAIR")


def test_what_is_poor_is_told_and_let_pass_when_forced(phantom, monkeypatch) -> None:
    forced = replace(FAST, force=("registration",))
    monkeypatch.setattr(session, "register_to_template", lambda *_: TemplateAlignment(BESIDE, BESIDE))
    monkeypatch.setattr(session, "coregister", lambda *_: BESIDE)
    _, facts = session.registered(phantom.scan("T1w"), phantom.template(), forced)
    assert not facts.passed
    assert facts.problem.startswith("The registration to the template failed")
    _, facts = session.coregistered(phantom.scan("FLAIR"), phantom.scan("T1w"), forced, "FLAIR")
    assert facts.coregistration_problem.startswith("The FLAIR could not be registered")


def test_scaling_brings_the_peak_to_1000_in_any_unit(phantom) -> None:
    core = phantom.mask(5)
    for factor in (1e-3, 1.0, 1e3):
        scan = phantom.scan("T2w")
        out, before, after = session.scaled(scan.with_data(scan.data * factor), core, None)
        assert before == pytest.approx(300 * factor, rel=0.03)
        assert after == pytest.approx(1000, rel=1e-4)
        np.testing.assert_allclose(out.data, scan.data * factor * 1000 / before, rtol=1e-5)


def test_the_cut_share_is_that_of_the_head_beyond_the_grid(phantom) -> None:
    scan = phantom.scan("T1w")
    assert session.cut_share(scan, scan, np.eye(4)) == 0
    half = similarity_matrix((0, 0, 0), (0.0, -100.0, 0.0))
    assert 0.3 < session.cut_share(scan, scan, half) < 0.9


def test_the_record_gathers_pieces_by_contrast() -> None:
    pieces = [
        Preprocessing(seconds={"register": 2.0}, registration=Registration(passed=True)),
        Preprocessing(contrasts={"T2w": ScanFacts(seconds={"n4": 1.0})}),
        Preprocessing(contrasts={"T2w": ScanFacts(seconds={"resample": 3.0}, coverage=0.5)}),
    ]
    assert gathered(pieces) == Preprocessing(
        seconds={"register": 2.0},
        registration=Registration(passed=True),
        contrasts={"T2w": ScanFacts(seconds={"n4": 1.0, "resample": 3.0}, coverage=0.5)},
    )


def test_a_brain_that_is_known_is_all_that_the_search_looks_at(phantom, monkeypatch) -> None:
    seen = {}

    def search(reference, template, centre, _):
        seen.update(reference=reference, template=template)
        return Start(np.zeros(7), centre)

    monkeypatch.setattr(registration, "_search_template", search)
    monkeypatch.setattr(registration, "_refined_in_brain", lambda _, __, start, *___: start)
    brain = phantom.mask(3, 4, 5)
    scan = phantom.scan("T1w")
    known = session.KnownMasks(brain=scan.with_data(brain))
    session.registered(scan, phantom.template(), FAST, known=known)
    assert (seen["reference"].data[~brain] == 0).all()
    assert not seen["template"].has_skull
    assert (seen["template"].head.data[~brain] == 0).all()
    session.registered(scan, phantom.template(), FAST)
    assert (seen["reference"].data[~brain] > 0).any()


def test_a_head_that_is_known_decides_what_is_head(phantom) -> None:
    scan, place = phantom.scan("T1w"), TemplateAlignment(np.eye(4), np.eye(4))
    half = phantom.labels > 0
    half[:, :, 30:] = False
    found, _ = session.head(scan, np.ones_like(half), place, scan.with_data(half))
    np.testing.assert_array_equal(found, half)
    with pytest.raises(BadInput, match=r"brain lie in the head"):
        session.judged(place, scan, phantom.template(), FAST, half)


def test_the_brain_of_a_skull_stripped_scan_lies_in_its_head(phantom) -> None:
    scan = phantom.scan("T1w", noise=0.0)
    brain = ndimage.binary_erosion(phantom.mask(3, 4, 5))
    place = TemplateAlignment(np.eye(4), np.eye(4))
    assert session.judged(place, scan.with_data(scan.data * brain), phantom.template(), FAST).passed


def test_a_slab_padded_with_zeros_is_the_slab(phantom) -> None:
    """Else its zeros would count in the percentiles by which the networks scale an image."""
    scan = phantom.scan("T2w")
    middle = scan.shape[2] // 2
    padded = scan.with_data(np.where(abs(np.arange(scan.shape[2]) - middle) <= 5, scan.data, 0))
    slab = session.without_padding(padded)
    assert slab.shape == (*scan.shape[:2], 11)
    assert session.without_padding(scan) is scan
    turned, settings = similarity_matrix((0.2, 0.1, 0.0), (1.0, 2.0, 3.0)), PreprocessingSettings()
    field = scan.with_data(np.zeros(scan.shape))
    (one, covered), (other, whole) = (
        session.on_template_grid(image, field, scan, turned, settings) for image in (slab, padded)
    )
    np.testing.assert_array_equal(one.data, other.data)
    np.testing.assert_array_equal(covered.data, whole.data)
    assert 0 < covered.data.mean() < 0.5


def test_air_that_was_set_to_zero_belongs_to_the_field_of_view(phantom) -> None:
    brain = phantom.scan("T1w").with_data(phantom.scan("T1w").data * phantom.mask(5))
    assert session.without_padding(brain) is brain
    thick = shrink(brain, 6.0)
    assert session.without_padding(thick) is thick
