"""What a training is: the same command resumes it, and another one is a sentence."""

import json

import pytest
import torch

from haca3_bids.checkpoints.formats import load_checkpoint
from haca3_bids.checkpoints.registry import builtin_path
from haca3_bids.cli import train, train_export
from haca3_bids.cli.toolbox import main
from haca3_bids.errors import BadInput
from haca3_bids.training import fusion, mixture, pairs, run
from haca3_bids.training.identity import card_of, claim, weights_digest

FIRST = {"trained": "mixture", "seed": 0, "initial_weights": "random", "label_maps": {"a": "1"}, "sessions": {}}


def checkpoint(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "last.pt").touch()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 7}, "seed 0, not 7."),
        ({"initial_weights": "f" * 64}, f"initial weights random, not {16 * 'f'}..."),
        ({"label_maps": {"a": "2"}}, "other label maps."),
        ({"seed": 7, "sessions": {"A/sub-1": {}}}, "seed 0, not 7; other sessions."),
    ],
)
def test_another_training_is_refused_once_something_is_trained(tmp_path, change, words):
    claim(tmp_path, FIRST | {"seed": 3})
    claim(tmp_path, FIRST)  # of the training before, there was only the record
    checkpoint(tmp_path)
    claim(tmp_path, FIRST)
    with pytest.raises(BadInput) as error:
        claim(tmp_path, FIRST | change)
    assert words in error.value.sentence
    assert "another folder (--out)" in error.value.hint
    assert json.loads((tmp_path / "run.json").read_text()) == FIRST


def test_what_an_older_record_does_not_say_is_not_compared_but_added(tmp_path):
    claim(tmp_path, {"seed": 0})
    checkpoint(tmp_path)
    claim(tmp_path, FIRST)
    with pytest.raises(BadInput, match="initial weights"):
        claim(tmp_path, FIRST | {"initial_weights": "x"})


def test_only_the_process_that_leads_writes(tmp_path):
    claim(tmp_path / "run", FIRST, leads=False)
    assert not (tmp_path / "run").exists()


def test_the_card_tells_what_was_trained_without_names(tmp_path):
    sessions = {f"A/sub-{number}": {"site": "A", "images": {"T1w": "9"}} for number in range(3)}
    claim(tmp_path, FIRST | {"sessions": sessions})
    card = card_of(tmp_path)
    assert card.pop("made by").startswith("haca3 train mixture, haca3_bids ")
    assert card == {"data": "label maps: 1, sessions: 3, sites: 1", "seed": "0", "initial weights": "random"}
    assert card_of(tmp_path / "older") == {"made by": "haca3 train"}


@pytest.fixture
def command(tmp_path, monkeypatch):
    """``haca3 train`` without the training: each one leaves a checkpoint. Returns the function, which takes words."""
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "one.nii.gz").write_bytes(b"labels")
    trained = []

    def stand_in(position):
        def done(*given):
            trained.append(given[position].name)
            checkpoint(given[position])

        return done

    monkeypatch.setattr(train, "_heads", lambda args: (["builtin", "one"], []))
    monkeypatch.setattr(mixture, "train_mixture", stand_in(3))
    monkeypatch.setattr(run, "train_artifact", stand_in(1))
    monkeypatch.setattr(fusion, "train_fusion", stand_in(1))
    monkeypatch.setattr(pairs, "fusion_pairs", lambda *given: [])

    def call(what, *more):
        where = ("--simulate", str(tmp_path / "labels"), "--out", str(tmp_path / "run"))
        return main(["train", what, *where, "--device", "cpu", *more]), len(trained)

    return call


@pytest.mark.parametrize("what", ["mixture", "artifact"])
def test_other_lengths_and_machines_resume_and_other_seeds_and_maps_do_not(command, what, tmp_path, capsys):
    assert command(what, "--steps", "1") == (0, 1)
    assert command(what, "--steps", "9", "--minutes", "2", "--threads", "1", "--workers", "0") == (0, 2)
    assert command(what, "--seed", "7") == (65, 2)
    assert "seed 0, not 7" in capsys.readouterr().err
    (tmp_path / "labels" / "one.nii.gz").write_bytes(b"other labels")
    assert command(what) == (65, 2)
    assert "other label maps" in capsys.readouterr().err


def test_a_training_from_given_weights_is_another_one(command, tmp_path, capsys):
    assert command("mixture") == (0, 1)
    assert command("mixture", "--start-from", "builtin") == (65, 1)
    sha256 = load_checkpoint(builtin_path()).sha256
    assert f"initial weights random, not {sha256[:16]}..." in capsys.readouterr().err


def test_fusion_is_trained_for_the_networks_it_was_begun_for(command, tmp_path, monkeypatch, capsys):
    networks = [torch.nn.Linear(2, 2) for _ in range(2)]
    monkeypatch.setattr(run, "load_haca3", lambda folder: networks[0])
    assert [command("fusion") for _ in range(2)] == [(0, 1), (0, 2)]
    train_export._check_fusion(networks[0], tmp_path / "run" / "fusion")
    assert command("fusion", "--striped") == (65, 2)
    networks.reverse()
    assert command("fusion") == (65, 2)
    assert f"not {weights_digest(networks[0])}" in capsys.readouterr().err
    with pytest.raises(BadInput, match="trained further since"):
        train_export._check_fusion(networks[0], tmp_path / "run" / "fusion")


def test_the_striped_fusion_network_fits_all_networks(command, tmp_path):
    assert command("fusion", "--striped") == (0, 1)
    train_export._check_fusion(torch.nn.Linear(2, 2), tmp_path / "run" / "fusion")


@pytest.mark.parametrize(("what", "words"), [("mixture", "no preprocessed image"), ("fusion", "no trained haca3")])
def test_what_is_missing_is_named_before_the_heads_are_prepared(command, what, words, tmp_path, monkeypatch, capsys):
    """With 32 label maps, that took half an hour."""
    monkeypatch.setattr(train, "_heads", lambda args: pytest.fail("the heads were prepared"))
    more = ("--data", str(tmp_path / "labels")) if what == "mixture" else ()
    assert command(what, *more) == (65, 0)
    assert words in capsys.readouterr().err
