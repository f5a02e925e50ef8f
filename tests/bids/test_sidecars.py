from __future__ import annotations

from haca3_bids.bids.sidecars import preproc_sidecar


def test_a_poor_alignment_that_was_let_pass_is_told_and_a_good_one_is_not() -> None:
    good = {"contrasts": {"T2w": {"registration_problem": ""}}, "registration": {"problem": ""}}
    assert "RegistrationProblem" not in preproc_sidecar("T2w", good, {})
    own = {
        "contrasts": {"T2w": {"registration_problem": "the T2w is poor"}},
        "registration": {"problem": "all is poor"},
    }
    assert preproc_sidecar("T2w", own, {})["RegistrationProblem"] == "the T2w is poor"
    assert preproc_sidecar("T1w", own, {})["RegistrationProblem"] == "all is poor"
