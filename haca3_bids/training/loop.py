"""A training loop for any model: optimization, validation, checkpoints, and resuming from them."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from haca3_bids.errors import BadInput
from haca3_bids.partial import partial_file
from haca3_bids.training.identity import CHECKPOINT
from haca3_bids.training.machine import ALONE, Machine
from haca3_bids.training.record import Record

LOG = logging.getLogger(__name__)

BEST = "best.pt"  # in the folder of a run
SCORE = "psnr"  # validation score by which the best checkpoint is chosen
Batch = Mapping[str, Tensor]
Network = TypeVar("Network", bound=nn.Module)
Losses = dict[str, Tensor]  # "total" is minimized, the others are logged


@dataclass(frozen=True)
class Plan:
    """Number of steps, learning rate, and intervals of checkpoints and validations."""

    steps: int
    lowest_rate: float = 4e-4
    highest_rate: float = 7e-4
    cycle: int = 200  # steps
    fade: float = 0.25  # fraction of the steps, at the end, in which the rate falls to a fiftieth
    accumulate: int = 1  # batches per step, whose gradients are averaged
    largest_gradient: float = 5.0  # norm at which the gradient is clipped
    average: float = 0.0  # decay of the moving average of the weights that is validated; 0: none
    seed: int = 0  # together with the step, seeds its random numbers
    save_every: int = 50  # steps
    validate_every: int = 150
    minutes: float = float("inf")  # stop after this time, to be resumed

    def rate(self, step: int) -> float:
        """The learning rate of a step: triangular cycles (Smith, WACV 2017) that decay at the end of the run.

        It depends only on the step, so that a resumed run needs no scheduler state.
        """
        position = abs((step % self.cycle) / self.cycle * 2 - 1)
        cycling = self.highest_rate + (self.lowest_rate - self.highest_rate) * position
        left = (self.steps - step) / (self.fade * self.steps)
        return cycling * max(0.02, min(1.0, left))


def fit(
    networks: nn.Module,
    step_losses: Callable[[Batch, int], Losses],
    batches: Callable[[int], Iterator[Batch]],
    plan: Plan,
    folder: Path,
    validate: Callable[[nn.Module, int], Mapping[str, float]] | None = None,
    machine: Machine = ALONE,
) -> int:
    """Train ``networks`` in place, from the last checkpoint in ``folder`` if there is one; return the steps completed.

    ``step_losses(batch, step)`` returns the losses. ``batches(first)`` yields ``plan.accumulate`` batches per step from
    step ``first`` on, the same in every call. ``validate(networks, step)`` scores the networks, or their moving average
    if the plan has one. The logs are described in ``record.Record``.
    """
    networks.to(machine.device)
    optimizer = torch.optim.Adam([p for p in networks.parameters() if p.requires_grad], betas=(0.9, 0.99))
    average = _moving_average(networks, plan.average)
    done, best = _resume(folder / CHECKPOINT, networks, average, optimizer, machine)
    losses_of = machine.shared(_Losses(networks, step_losses))
    judged = average.module if average else networks
    start, stream = time.monotonic(), batches(done)
    with Record(folder, done, plan.steps, machine.leads) as record:
        while done < plan.steps:
            torch.manual_seed(_seed_of(plan, done, machine))
            losses = _losses_of_step(losses_of, stream, done, plan.accumulate, optimizer, machine)
            if losses is None:
                break  # no more data
            _step(optimizer, networks, average, plan, done)
            done += 1
            record.losses(done, losses)
            over = machine.agreed(time.monotonic() - start > 60 * plan.minutes)
            if validate and (done % plan.validate_every == 0 or done == plan.steps) and machine.leads:
                record.validation(done, scores := validate(judged, done))
                best = _best_kept(judged, scores, best, folder)
            if (done % plan.save_every == 0 or done == plan.steps or over) and machine.leads:
                _write(_state(networks, average, optimizer, done, best), folder / CHECKPOINT)
            if over:
                break
    return done


def _seed_of(plan: Plan, step: int, machine: Machine) -> int:
    """The seed of a step in one process: 64 bits, whatever the size of the seed of the run."""
    return int(np.random.SeedSequence((plan.seed, step, machine.rank)).generate_state(1, np.uint64)[0])


class _Losses(nn.Module):
    """The losses of a step as a forward pass, as DistributedDataParallel requires."""

    def __init__(self, networks: nn.Module, step_losses: Callable[[Batch, int], Losses]) -> None:
        super().__init__()
        self.networks, self.step_losses = networks, step_losses

    def forward(self, batch: Batch, step: int) -> Losses:
        return self.step_losses(batch, step)


def _losses_of_step(
    losses_of: nn.Module,
    stream: Iterator[Batch],
    step: int,
    count: int,
    optimizer: torch.optim.Optimizer,
    machine: Machine,
) -> dict[str, float] | None:
    """Accumulate gradients over ``count`` batches; return the mean losses, or None if the batches are exhausted."""
    optimizer.zero_grad(set_to_none=True)
    mean: dict[str, float] = {}
    for _ in range(count):
        batch = next(stream, None)
        if batch is None:
            return None
        with machine.arithmetic():
            losses: Losses = losses_of(machine.moved(batch), step)
        (losses["total"] / count).backward()
        for name, value in losses.items():
            mean[name] = mean.get(name, 0.0) + value.item() / count
    return mean


def _best_kept(networks: nn.Module, scores: Mapping[str, float], best: float, folder: Path) -> float:
    """The best score so far; the networks are saved if they reach it."""
    if scores.get(SCORE, 0.0) <= best:
        return best
    _write({"networks": networks.state_dict()}, folder / BEST)
    return scores[SCORE]


def _moving_average(networks: nn.Module, decay: float) -> AveragedModel | None:
    return AveragedModel(networks, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True) if decay else None


def _step(
    optimizer: torch.optim.Optimizer, networks: nn.Module, average: AveragedModel | None, plan: Plan, step: int
) -> None:
    """Update the parameters, unless their gradient is not finite, and their moving average."""
    for group in optimizer.param_groups:
        group["lr"] = plan.rate(step)
    norm = nn.utils.clip_grad_norm_(networks.parameters(), plan.largest_gradient)
    if torch.isfinite(norm):
        optimizer.step()
    else:
        LOG.warning("Step %d is skipped: its gradient is not finite.", step + 1)
    if average:
        average.update_parameters(networks)


def _state(
    networks: nn.Module, average: AveragedModel | None, optimizer: torch.optim.Optimizer, step: int, best: float
) -> dict[str, Any]:
    averaged = {"average": average.state_dict()} if average else {}
    return averaged | {
        "networks": networks.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": step,
        "best": best,
    }


def _write(state: Mapping[str, Any], path: Path) -> None:
    with partial_file(path) as partial:
        torch.save(dict(state), partial)


def _resume(
    path: Path, networks: nn.Module, average: AveragedModel | None, optimizer: torch.optim.Optimizer, machine: Machine
) -> tuple[int, float]:
    """Load a checkpoint; return its step and best score, (0, -inf) if there is none."""
    if not path.exists():
        return 0, float("-inf")
    state = _load(networks, path, machine.device)
    if average:
        average.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    LOG.info("Resuming after step %d.", state["step"])
    return int(state["step"]), float(state["best"])


def load_trained(network: Network, folder: Path) -> Network:
    """The network with the best weights of a run, in evaluation mode; BadInput if there is no such run.

    Without a validation, they are the last ones, or their moving average if the run has one.
    """
    path = folder / (BEST if (folder / BEST).exists() else CHECKPOINT)
    if not path.exists():
        raise BadInput(
            f"There is no trained {folder.name} network in {folder.parent}.",
            f"Train it first: haca3 train {folder.name}.",
        )
    state = _load(network, path, torch.device("cpu"))
    if "average" in state:
        average = AveragedModel(network, use_buffers=True)
        average.load_state_dict(state["average"])
        network.load_state_dict(average.module.state_dict())
    return network.eval()


def _load(networks: nn.Module, path: Path, device: torch.device) -> dict[str, Any]:
    """Load the weights of a checkpoint into ``networks``; return its content. BadInput if it does not fit."""
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location=device)
        networks.load_state_dict(state["networks"])
    except (OSError, RuntimeError, LookupError, TypeError, EOFError, UnpicklingError) as error:
        raise BadInput(
            f"{path} does not contain networks that this version of haca3_bids can load ({type(error).__name__}).",
            "Use the version that trained them, or train again in another folder (--out).",
        ) from error
    return state


def use_threads(threads: int) -> None:
    """Set the number of PyTorch threads; 0 keeps the default."""
    if threads:
        torch.set_num_threads(threads)
