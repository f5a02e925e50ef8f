"""Validation during training: a copy of the networks is judged, and their training goes on as it was."""

import torch

from haca3_bids.networks.haca3 import Haca3
from haca3_bids.training import run
from haca3_bids.training.loop import CHECKPOINT, Plan
from haca3_bids.training.run import Cohort, Setting, train_haca3


def test_a_copy_of_the_moving_average_is_validated_in_evaluation_mode(tmp_path, monkeypatch):
    torch.manual_seed(0)
    model, judged, modes = Haca3(), [], []
    first = next(model.decoder.parameters())

    def losses(trained, batch, progress, perceptual):
        modes.append(trained.training)
        return {"total": first.square().sum()}

    monkeypatch.setattr(run, "haca3_losses", losses)
    monkeypatch.setattr(run, "draw_figure", lambda network, samples, path: judged.append(network))
    monkeypatch.setattr(run, "score", lambda network, samples, contrasts: (judged.append(network), {"psnr": 1.0})[1])
    monkeypatch.setattr(Cohort, "held_out", lambda self: [{}])
    monkeypatch.setattr(Cohort, "batches", lambda self, setting, stage, first: iter(3 * [{}]))
    train_haca3(model, Cohort(), tmp_path, Setting(Plan(3, average=0.5, validate_every=1)))
    assert modes == 3 * [True]
    assert len(judged) == 6
    assert all(network is not model and not network.training for network in judged)
    average = torch.load(tmp_path / CHECKPOINT)["average"]
    for name, value in judged[-1].state_dict().items():
        torch.testing.assert_close(value, average[f"module.{name}"], rtol=0, atol=0)
    assert not torch.equal(next(judged[-1].decoder.parameters()), first)
