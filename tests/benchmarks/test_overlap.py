import pytest
from overlap import Step, overlap, steps_of

LOG = """2026-01-01 12:00:00,000 INFO nipype.workflow: [Node] Setting-up "run.sub_01_wf.preprocess_wf.n4_T1w" in "/w"
2026-01-01 12:00:01,500 INFO nipype.workflow: [Node] Setting-up "run.sub_02_wf.harmonize_wf.harmonize" in "/w"
2026-01-01 12:00:02,000 INFO nipype.workflow: [Job 0] Completed (run.sub_01_wf.preprocess_wf.n4_T1w).
2026-01-01 12:00:04,000 INFO nipype.workflow: [Job 1] Completed (run.sub_02_wf.harmonize_wf.harmonize).
2026-01-01 12:00:05,000 INFO nipype.workflow: [Job 2] Completed (run.sub_02_wf.write).
"""


def test_steps_are_read_from_the_log():
    first, second = steps_of(LOG.splitlines())
    assert (first.session, first.name) == ("sub_01_wf", "preprocess_wf.n4_T1w")
    assert second.is_network
    assert second.end - first.begin == pytest.approx(4.0)


def test_only_steps_of_another_session_count_as_beside():
    preprocessing, networks = "preprocess_wf.register", "harmonize_wf.harmonize"
    steps = [
        Step("a", preprocessing, 0, 10),
        Step("a", networks, 10, 20),
        Step("a", "draw", 12, 14),
        Step("b", preprocessing, 15, 25),
    ]
    found = overlap(steps)
    assert (found.sessions, found.whole, found.networks, found.beside, found.steps) == (2, 25, 10, 5, 32)
