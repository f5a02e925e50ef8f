"""The stage of the measurements: test heads stay closed, people are always the same, slices stand for volumes."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import stage as staged

from haca3_bids.evaluation.similarity import compared
from haca3_bids.harmonization import engine
from haca3_bids.physics.anatomy import Anatomy
from haca3_bids.physics.tissues import TISSUES
from haca3_bids.volumes.volume import Volume


def options(**given):
    defaults = vars(staged.parser("").parse_args(["--labels", "none", "--cache", "none", "--out", "none"]))
    return argparse.Namespace(**(defaults | given))


def test_no_head_is_both_test_and_validation():
    assert not set(staged.TEST_HEADS) & set(staged.VALIDATION_HEADS)
    assert len(staged.TEST_HEADS) == 8


@pytest.mark.parametrize("name", ["subject46", "training_seg_13", "subject48_crisp_v"])
def test_a_test_head_is_not_taken_unless_the_test_set_is_opened(name):
    with pytest.raises(SystemExit, match="opened once"):
        staged.stage(options(heads=[name]))


def test_every_site_is_once_source_and_once_target():
    sites = [{"T1w": number} for number in range(8)]
    on = staged.Stage([], None, sites, None, None, None, 1, Path())
    pairs = [on.pair(number) for number in range(8)]
    assert sorted(one["T1w"] for one, _ in pairs) == sorted(other["T1w"] for _, other in pairs) == list(range(8))
    assert all(one is not other for one, other in pairs)


def test_two_processes_share_the_people(monkeypatch):
    monkeypatch.setattr(staged, "someone", lambda head: head)

    def people(part):
        return list(staged.Stage(["a", "b", "c"], None, [], None, None, None, 1, Path(), part).people())

    assert people((1, 2)) + people((2, 2)) == [(0, "a", "b"), (2, "c", "a"), (1, "b", "c")]
    assert sorted(people((1, 2)) + people((2, 2))) == people((1, 1))


@pytest.mark.parametrize("part", ["3/2", "0/2", "half", "1"])
def test_a_part_that_cannot_be_is_refused(part, capsys):
    with pytest.raises(SystemExit):
        staged.parser("").parse_args(["--labels", "none", "--cache", "none", "--out", "none", "--part", part])
    assert "--part" in capsys.readouterr().err


def test_slices_are_compared_like_volumes_where_they_are_whole():
    rng = np.random.default_rng(0)
    truth = rng.random((6, 20, 20), np.float32)
    image = truth + 0.1 * rng.standard_normal(truth.shape, np.float32)
    mask = np.ones(truth.shape, bool)
    assert staged.compared_slices(image, truth, mask).psnr_db == pytest.approx(compared(image, truth, mask).psnr_db)
    assert staged.compared_slices(truth, truth, mask).ssim == pytest.approx(1)


def test_whole_volumes_go_through_the_engine(monkeypatch):
    found = engine.Harmonized(
        None, Volume(np.ones((4, 4, 4), np.float32), np.eye(4)), None, {}, 1, None, 0, 1, "", "", ""
    )
    monkeypatch.setattr(staged, "harmonize", lambda *_: [found])
    on = staged.Stage([], None, [], None, None, None, 1, Path())
    (made,) = staged.made({}, [None], on)
    assert made.volume is found.image.data


def test_what_is_kept_is_found_again(tmp_path):
    rows = [{"person": "a", "psnr_db": 21.5}, {"person": "b", "psnr_db": 20.0}]
    assert staged.kept(tmp_path / "out" / "rows.jsonl") == []
    for row in rows:
        staged.keep(tmp_path / "out" / "rows.jsonl", [row])
    assert staged.kept(tmp_path / "out" / "rows.jsonl") == rows


def test_a_person_is_drawn_from_the_name_of_the_head(monkeypatch):
    monkeypatch.setattr(staged, "SHAPE", (8, 8, 8))
    shares = np.zeros((len(TISSUES), 8, 8, 8), np.uint8)
    one, same, other = (staged.someone(Anatomy(shares, name)) for name in ("a", "a", "b"))
    np.testing.assert_array_equal(one.local, same.local)
    assert np.abs(one.deviations - other.deviations).max() > 0
