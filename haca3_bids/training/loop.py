"""The training loop; it knows no model: a step returns losses, the loop steps the optimiser, writes and resumes."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from haca3_bids.errors import BadInput

LOG = logging.getLogger(__name__)

CHECKPOINT = "last.pt"  # in the folder of a run
LARGEST_GRADIENT = 5.0  # norm over all parameters; a larger one is scaled down to this

Batch = Mapping[str, Tensor]
Network = TypeVar("Network", bound=nn.Module)
Losses = dict[str, Tensor]  # "total" is minimised, the others are told


@dataclass(frozen=True)
class Plan:
    """How long and how fast: a learning rate that cycles between two values and fades out at the end."""

    steps: int
    lowest_rate: float = 4e-4
    highest_rate: float = 7e-4
    cycle: int = 200  # steps
    fade: float = 0.25  # the last share of the steps, in which the rate falls to a fiftieth
    save_every: int = 50  # steps
    validate_every: int = 150
    minutes: float = float("inf")  # stop (to be resumed) after this long

    def rate(self, step: int) -> float:
        """The learning rate of a step (triangular cycle, Smith 2017)."""
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
    validate: Callable[[int], Mapping[str, float]] | None = None,
) -> int:
    """Train ``networks`` in place from the last checkpoint in ``folder``, and give the number of steps done.

    ``batches(first_step)`` must give the same batches again for a resumed run. Losses go to ``folder/losses.jsonl``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trained = [p for p in networks.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=plan.lowest_rate, betas=(0.9, 0.99))
    done = _resume(folder / CHECKPOINT, networks, optimizer)
    start = time.monotonic()
    for step, batch in zip(range(done, plan.steps), batches(done), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = plan.rate(step)
        losses = step_losses(batch, step)
        optimizer.zero_grad(set_to_none=True)
        losses["total"].backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(trained, LARGEST_GRADIENT)
        if torch.isfinite(norm):  # one bad batch must not undo the run
            optimizer.step()
        else:
            LOG.warning("step %d has no finite gradient and is left out", step + 1)
        done = step + 1
        _record(folder, {"step": done, "seconds": time.monotonic() - start, **{k: v.item() for k, v in losses.items()}})
        over = time.monotonic() - start > 60 * plan.minutes
        if done % plan.save_every == 0 or done == plan.steps or over:
            _save(folder / CHECKPOINT, networks, optimizer, done)
        if validate and (done % plan.validate_every == 0 or done == plan.steps):
            _record(folder, {"step": done, **validate(done)}, "validation.jsonl")
        if over:
            break
    return done


def _record(folder: Path, values: Mapping[str, float], name: str = "losses.jsonl") -> None:
    with (folder / name).open("a") as stream:
        stream.write(json.dumps({k: round(v, 6) for k, v in values.items()}) + "\n")


def _save(path: Path, networks: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    state = {
        "networks": networks.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": step,
        "random": torch.get_rng_state(),
    }
    partial = path.with_suffix(".part")
    torch.save(state, partial)
    os.replace(partial, path)


def _resume(path: Path, networks: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    if not path.exists():
        return 0
    state: dict[str, Any] = torch.load(path, weights_only=True)
    networks.load_state_dict(state["networks"])
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["random"])
    LOG.info("resuming after step %d", state["step"])
    return int(state["step"])


def load_trained(network: Network, folder: Path) -> Network:
    """The network as the last checkpoint of a run left it; BadInput when there was no such run."""
    path = folder / CHECKPOINT
    if not path.exists():
        raise BadInput(
            f"There is no trained {folder.name} network in {folder.parent}.", f"haca3 train {folder.name} makes it."
        )
    network.load_state_dict(torch.load(path, weights_only=True)["networks"])
    return network.eval()


def use_threads(threads: int) -> None:
    """Let PyTorch use so many threads; 0 leaves it as it is."""
    if threads:
        torch.set_num_threads(threads)
