"""The loop: a run that was stopped goes on as if it had not been."""

import json
import socket

import pytest
import torch

from haca3_bids.errors import BadInput
from haca3_bids.training.loop import Plan, fit, load_trained
from haca3_bids.training.machine import ALONE, Machine, machine
from haca3_bids.training.run import load_haca3

CPU = torch.device("cpu")


def batches(first, steps):
    for step in range(first, steps):
        generator = torch.Generator().manual_seed(step)
        yield {"x": torch.rand(4, 3, generator=generator)}


def trained(folder, *stops, seed=0):
    """A small network after stopping at each of ``stops`` steps, with the losses it saw."""
    for steps in stops:
        torch.manual_seed(0)
        net = torch.nn.Linear(3, 1)

        def step_losses(batch, _, net=net):
            noise = torch.randn(4, 1)
            return {"total": ((net(batch["x"]) - batch["x"].sum(1, keepdim=True) + 0.01 * noise) ** 2).mean()}

        plan = Plan(steps=20, lowest_rate=0.05, highest_rate=0.1, save_every=5, seed=seed)
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


def test_a_training_whose_steps_are_done_says_so(tmp_path, capsys):
    _, losses = trained(tmp_path, 20)
    assert "nothing left" not in capsys.readouterr().err
    assert trained(tmp_path, 20)[1] == losses
    assert "There is nothing left to do: 20 of 20 steps are done" in capsys.readouterr().err


def test_every_seed_that_pytorch_accepts_gives_losses_of_its_own(tmp_path):
    seeds = (0, 1, 2**32, 2**64 - 1)
    losses = [trained(tmp_path / str(seed), 20, seed=seed)[1] for seed in seeds]
    assert len({tuple(one) for one in losses}) == len(seeds)


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


def test_until_it_fades_the_rate_is_pytorchs_triangular_cycle():
    plan = Plan(steps=1000, cycle=100, fade=0.25)
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])
    cycle = torch.optim.lr_scheduler.CyclicLR(
        optimizer, plan.lowest_rate, plan.highest_rate, step_size_up=50, cycle_momentum=False
    )
    for step in range(750):
        assert plan.rate(step) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        cycle.step()


def test_batches_added_up_are_one_large_batch(tmp_path):
    def run(folder, size, plan):
        torch.manual_seed(0)
        net = torch.nn.Linear(3, 1)
        everything = torch.rand(8, 3, generator=torch.Generator().manual_seed(1))
        fit(
            net,
            lambda batch, _: {"total": ((net(batch["x"]) - 1) ** 2).mean()},
            lambda first: iter([{"x": part} for part in everything.split(size)]),
            plan,
            folder,
        )
        return net.weight.detach()

    small = run(tmp_path / "small", 2, Plan(steps=1, accumulate=4))
    assert torch.allclose(small, run(tmp_path / "large", 8, Plan(steps=1)), atol=1e-6)


def test_the_best_checkpoint_is_that_of_the_highest_validation(tmp_path):
    net = torch.nn.Linear(3, 1)
    seen = {}

    def validate(judged, step):
        assert judged is net
        seen[step] = net.weight.detach().clone()
        return {"psnr": -abs(step - 4.0)}

    plan = Plan(steps=6, validate_every=1)
    fit(net, lambda b, _: {"total": net(b["x"]).mean()}, lambda first: batches(first, 6), plan, tmp_path, validate)
    assert torch.equal(torch.load(tmp_path / "best.pt")["networks"]["weight"], seen[4])
    assert len((tmp_path / "validation.jsonl").read_text().splitlines()) == 6


def test_a_moving_average_is_judged_kept_and_taken_up_again(tmp_path):
    net, judged = torch.nn.Linear(3, 1), []

    def run(steps):
        plan = Plan(steps=steps, lowest_rate=0.1, highest_rate=0.1, average=0.5, validate_every=1, save_every=1)
        fit(
            net, lambda b, _: {"total": net(b["x"]).mean()}, lambda first: batches(first, steps), plan, tmp_path,
            lambda network, _: (judged.append(network.weight.detach().clone()), {"psnr": 0.0})[1],
        )  # fmt: skip

    run(3)
    assert not torch.equal(judged[-1], net.weight)
    assert (judged[-1] - judged[-2]).abs().max() > 0
    run(4)
    kept = torch.load(tmp_path / "last.pt")["average"]["module.weight"]
    torch.testing.assert_close(kept, judged[-1])
    torch.testing.assert_close(judged[3], (judged[2] + net.weight.detach()) / 2)


def test_what_is_exported_without_validation_is_the_moving_average(tmp_path):
    net = torch.nn.Linear(3, 1)
    plan = Plan(steps=3, lowest_rate=0.1, highest_rate=0.1, average=0.5)
    fit(net, lambda b, _: {"total": net(b["x"]).mean()}, lambda first: batches(first, 3), plan, tmp_path)
    found = load_trained(torch.nn.Linear(3, 1), tmp_path)
    kept = torch.load(tmp_path / "last.pt")["average"]
    assert torch.equal(found.weight, kept["module.weight"])
    assert torch.equal(found.bias, kept["module.bias"])
    assert not torch.equal(found.weight, net.weight)
    assert not found.training


def test_half_precision_is_used_inside_a_step(tmp_path):
    net, kinds = torch.nn.Linear(3, 1), set()

    def step_losses(batch, _):
        out = net(batch["x"])
        kinds.add(out.dtype)
        return {"total": out.float().mean()}

    fit(net, step_losses, lambda first: batches(first, 1), Plan(steps=1), tmp_path, machine=Machine(CPU, "bf16"))
    assert kinds == {torch.bfloat16}
    assert net.weight.dtype == torch.float32


def test_tensorboard_can_read_the_losses(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _, losses = trained(tmp_path, 20)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.value for event in events.Scalars("losses/total")] == pytest.approx(losses, abs=1e-5)


def _one_of_two(rank, folder, port):
    import os

    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "RANK": str(rank)}
    torch.set_num_threads(1)
    with machine("cpu") as mine:
        _trained_on_half(mine, folder)


def _trained_on_half(mine, folder):
    torch.manual_seed(mine.rank)  # the process that leads gives its parameters to the others
    nets = torch.nn.ModuleList([torch.nn.Linear(3, 1), torch.nn.Linear(3, 1)])
    everything = torch.rand(5, 8, 3, generator=torch.Generator().manual_seed(1))
    share = 8 // mine.world
    own = everything[:, mine.rank * share : (mine.rank + 1) * share]
    fit(
        nets,
        lambda batch, step: {"total": ((nets[step % 2](batch["x"]) - 1) ** 2).mean()},  # one of them has no gradient
        lambda first: iter([{"x": part} for part in own]),
        Plan(steps=5),
        folder,
        machine=mine,
    )


def test_two_processes_train_like_one_with_all_the_data(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_one_of_two, (tmp_path / "two", port), 2)
    _trained_on_half(ALONE, tmp_path / "one")
    two, one = (torch.load(tmp_path / name / "last.pt")["networks"] for name in ("two", "one"))
    assert all(torch.allclose(two[name], one[name], atol=1e-6) for name in one)


def test_what_a_run_had_not_saved_when_it_broke_off_is_told_once(tmp_path):
    trained(tmp_path, 10)
    with (tmp_path / "losses.jsonl").open("a") as stream:
        stream.write('{"step": 11, "total": 5}\n{"step": 12, "tot')
    trained(tmp_path, 20)
    steps = [json.loads(line)["step"] for line in (tmp_path / "losses.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 21))


@pytest.mark.parametrize(
    ("config", "state"),
    [
        ({"anatomy": "soft", "beta_dim": 5}, {"networks": {}}),  # of an earlier version
        ({"variant": "haca4"}, {"networks": {}}),
        ({}, {"networks": {"decoder.weight": torch.zeros(1)}}),
        ({}, {"epoch": 1}),
    ],
)
def test_a_run_of_other_networks_is_a_sentence(tmp_path, config, state):
    (tmp_path / "config.json").write_text(json.dumps(config))
    torch.save(state, tmp_path / "last.pt")
    with pytest.raises(BadInput, match=r"this version of haca3_bids") as error:
        load_haca3(tmp_path)
    assert error.value.exit_code == 65


def test_a_checkpoint_of_other_networks_is_not_resumed(tmp_path):
    torch.save({"networks": {"other": torch.zeros(1)}}, tmp_path / "last.pt")
    with pytest.raises(BadInput, match=r"another folder \(--out\)"):
        trained(tmp_path, 5)


def test_without_a_terminal_progress_is_a_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("haca3_bids.training.record.SAID_EVERY_S", 0.0)
    trained(tmp_path / "run", 20)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 20
    assert lines[4].startswith("run: step 5 of 20, loss ")
    assert lines[-1].endswith("0.0 h left")
