"""The loop: a run that was stopped goes on as if it had not been."""

import json

import pytest
import torch

from haca3_bids.training.loop import Plan, fit


def batches(first, steps):
    for step in range(first, steps):
        generator = torch.Generator().manual_seed(step)
        yield {"x": torch.rand(4, 3, generator=generator)}


def trained(folder, *stops):
    """A small network after stopping at each of ``stops`` steps, with the losses it saw."""
    for steps in stops:
        torch.manual_seed(0)
        net = torch.nn.Linear(3, 1)

        def step_losses(batch, _, net=net):
            noise = torch.randn(4, 1)
            return {"total": ((net(batch["x"]) - batch["x"].sum(1, keepdim=True) + 0.01 * noise) ** 2).mean()}

        plan = Plan(steps=20, lowest_rate=0.05, highest_rate=0.1, save_every=5)
        fit(net, step_losses, lambda first, last=steps: batches(first, last), plan, folder)
    losses = [json.loads(line)["total"] for line in (folder / "losses.jsonl").read_text().splitlines()]
    return net, losses


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    whole, all_losses = trained(tmp_path / "whole", 20)
    parts, part_losses = trained(tmp_path / "parts", 10, 20)
    assert part_losses == all_losses
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_same_seed_gives_the_same_losses(tmp_path):
    assert trained(tmp_path / "a", 20)[1] == trained(tmp_path / "b", 20)[1]


def test_losses_fall(tmp_path):
    _, losses = trained(tmp_path, 20)
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])


def test_a_run_stops_when_its_minutes_are_over(tmp_path):
    net = torch.nn.Linear(3, 1)
    plan = Plan(steps=1000, minutes=0)
    done = fit(net, lambda b, _: {"total": net(b["x"]).mean()}, lambda first: batches(first, 1000), plan, tmp_path)
    assert done == 1
    assert (tmp_path / "last.pt").exists()


def test_the_rate_cycles_and_fades_out():
    plan = Plan(steps=1000, cycle=100)
    assert plan.rate(0) == pytest.approx(plan.lowest_rate)
    assert plan.rate(50) == pytest.approx(plan.highest_rate)
    assert plan.rate(999) < plan.lowest_rate / 10
