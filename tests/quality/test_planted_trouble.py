from __future__ import annotations

import planted_trouble as planted
import pytest

from haca3_bids.preprocessing.template import load_template

CASES, CLEAN = 10, 8  # about ten minutes of one core; the program itself takes as many as wanted


def test_cases_take_troubles_in_turn_and_draw_the_same_again() -> None:
    cases = planted.draw_cases(50, 40)
    assert [case.trouble for case in cases[:6]] == [*planted.TROUBLES, "noise"]
    assert len(cases) == 90
    assert all(len(case.contrasts) == 2 for case in cases if case.trouble == "swap")
    assert cases[7].rng.integers(1000) == cases[7].rng.integers(1000)


@pytest.mark.slow
def test_planted_trouble_is_found_and_named_and_clean_sessions_pass() -> None:
    template = load_template("builtin")
    heads = planted.make_heads(None, None, 2)
    right = {True: 0, False: 0}
    for case in planted.draw_cases(CASES, CLEAN):
        verdict, _ = planted.judged(case, heads, template)
        right[case.trouble == "clean"] += planted.is_right(case, verdict)
    assert right[False] >= CASES - 2
    assert right[True] == CLEAN
