from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from haca3_bids.preprocessing.template import load_template

PROGRAM = Path(__file__).parents[2] / "benchmarks/planted_trouble.py"
CASES, CLEAN = 10, 8  # about ten minutes of one core; the program itself takes as many as wanted


@pytest.fixture(scope="module")
def planted() -> ModuleType:
    spec = importlib.util.spec_from_file_location("planted_trouble", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["planted_trouble"] = module
    spec.loader.exec_module(module)
    return module


def test_cases_take_troubles_in_turn_and_draw_the_same_again(planted: ModuleType) -> None:
    cases = planted.draw_cases(50, 40)
    assert [case.trouble for case in cases[:6]] == [*planted.TROUBLES, "noise"]
    assert len(cases) == 90
    assert all(len(case.contrasts) == 2 for case in cases if case.trouble == "swap")
    assert cases[7].rng.integers(1000) == cases[7].rng.integers(1000)


@pytest.mark.slow
def test_planted_trouble_is_found_and_named_and_clean_sessions_pass(planted: ModuleType) -> None:
    template = load_template("builtin")
    heads = list(planted.make_heads(None, 3))
    right = {True: 0, False: 0}
    for case in planted.draw_cases(CASES, CLEAN):
        verdict, _ = planted.judged(case, heads, template)
        right[case.trouble == "clean"] += planted.is_right(case, verdict)
    assert right[False] >= CASES - 2
    assert right[True] == CLEAN
