from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from haca3_bids.errors import BadInput
from haca3_bids.preprocessing import longitudinal, session
from haca3_bids.preprocessing.longitudinal import common_frame
from haca3_bids.preprocessing.mirrored import GAIN_LIMIT, mirrored_gain
from haca3_bids.preprocessing.registration import TemplateAlignment
from haca3_bids.preprocessing.transforms import similarity_matrix
from haca3_bids.settings import PreprocessingSettings
from haca3_bids.volumes.volume import Volume

FULL = PreprocessingSettings()
FORCED = replace(FULL, force=("registration",))
CENTRE = (0.0, -18.0, 5.0)
TILT = similarity_matrix((0.05, 0.25, 0.2), (6.0, -4.0, 8.0), 0.0, CENTRE)
MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])


def mirrored(scan: Volume) -> Volume:
    """The scan with a header that exchanges left and right."""
    return Volume(scan.data, MIRROR @ scan.affine)


@pytest.mark.parametrize("contrast", ["T2w", "FLAIR"])
@pytest.mark.parametrize("moved", [np.eye(4), TILT], ids=["upright", "tilted"])
def test_a_mirrored_scan_agrees_better_when_it_is_mirrored_again(phantom, contrast, moved) -> None:
    reference, moving = phantom.scan("T1w", moved), phantom.scan(contrast, moved, seed=1)
    assert mirrored_gain(moving, reference, np.eye(4)) < 1
    # a registration brings the mirrored heads over each other
    assert mirrored_gain(mirrored(moving), reference, MIRROR @ moved @ MIRROR @ np.linalg.inv(moved)) > GAIN_LIMIT


def test_a_contrast_whose_header_exchanges_left_and_right_is_refused_unless_forced(phantom, monkeypatch) -> None:
    monkeypatch.setattr(session, "coregister", lambda *_: np.eye(4))
    moving, reference = mirrored(phantom.scan("T2w")), phantom.scan("T1w")
    with pytest.raises(BadInput, match="The T2w and the session's reference agree better if left and right"):
        session.coregistered(moving, reference, FULL, "T2w")
    _, facts = session.coregistered(moving, reference, FORCED, "T2w")
    assert "left and right are exchanged" in facts.coregistration_problem


def test_visits_of_which_one_is_mirrored_get_no_common_frame_unless_forced(phantom, monkeypatch) -> None:
    monkeypatch.setattr(longitudinal, "coregister", lambda *_: np.eye(4))
    visits = {"ses-1": phantom.scan("T1w"), "ses-2": mirrored(phantom.scan("T1w", seed=1))}
    with pytest.raises(BadInput, match="The scans of ses-1 and ses-2 agree better if left and right are exchanged"):
        common_frame(visits, phantom.template(), FULL)
    monkeypatch.setattr(longitudinal, "register_to_template", lambda *_: TemplateAlignment(np.eye(4), np.eye(4)))
    monkeypatch.setattr(longitudinal, "_registered_to_each_other", lambda *_: dict.fromkeys(visits, np.eye(4)))
    frame = common_frame(visits, phantom.template(), FORCED)
    assert "left and right are exchanged" in frame.problem


def test_a_visit_that_shows_no_head_is_not_said_to_have_its_sides_exchanged(phantom, monkeypatch) -> None:
    monkeypatch.setattr(longitudinal, "coregister", lambda *_: np.eye(4))
    monkeypatch.setattr(longitudinal, "exchanged_sides", lambda what, *_: BadInput(what))
    monkeypatch.setattr(longitudinal, "register_to_template", lambda *_: TemplateAlignment(np.eye(4), np.eye(4)))
    head = phantom.scan("T1w")
    noise = head.with_data(np.random.default_rng(7).normal(100, 30, head.shape).astype(np.float32))
    visits = {"ses-1": head, "ses-2": noise}
    monkeypatch.setattr(longitudinal, "_registered_to_each_other", lambda *_: dict.fromkeys(visits, np.eye(4)))
    assert not common_frame(visits, phantom.template(), FULL).problem
    visits["ses-2"] = phantom.scan("T1w", seed=1)
    with pytest.raises(BadInput, match="The scans of ses-1 and ses-2"):
        common_frame(visits, phantom.template(), FULL)
