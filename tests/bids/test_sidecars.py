from __future__ import annotations

from haca3_bids.bids.sidecars import preproc_sidecar


def test_a_poor_alignment_that_was_let_pass_is_told_and_a_good_one_is_not() -> None:
    good = {"contrasts": {"T2w": {"registration_problem": ""}}, "registration": {"problem": ""}}
    assert "RegistrationProblem" not in preproc_sidecar("T2w", good, {})
    own = {
        "contrasts": {"T2w": {"registration_problem": "poor T2w"}},
        "registration": {"problem": "poor head"},
    }
    assert preproc_sidecar("T2w", own, {})["RegistrationProblem"] == "poor T2w"
    assert preproc_sidecar("T1w", own, {})["RegistrationProblem"] == "poor head"
