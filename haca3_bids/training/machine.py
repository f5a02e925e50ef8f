"""The device and the precision of a run, and the rank of this process under ``torchrun``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from haca3_bids.harmonization.device import choose_device

PATIENCE = timedelta(hours=12)  # with a process that makes heads or places sessions


@dataclass(frozen=True)
class Machine:
    """One process of a run, alone or among ``world``."""

    device: torch.device
    precision: str = "fp32"
    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes what the run leaves behind."""
        return self.rank == 0

    def arithmetic(self) -> AbstractContextManager[object]:
        """Inside, convolutions compute in the chosen precision; the parameters stay in fp32."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.precision == "bf16" else nullcontext()

    def moved(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The batch on this process's device."""
        return {name: tensor.to(self.device, non_blocking=True) for name, tensor in batch.items()}

    def shared(self, module: nn.Module) -> nn.Module:
        """The module with the leader's parameters; ``backward`` gives every process the mean of all gradients."""
        if self.world == 1:
            return module
        return DistributedDataParallel(module, find_unused_parameters=True)  # a step need not use all networks

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """The block runs in the process that leads and then in the others, which find what it has made."""
        if self.world > 1 and not self.leads:
            distributed.barrier()
        yield
        if self.world > 1 and self.leads:
            distributed.barrier()

    def agreed(self, decision: bool) -> bool:
        """The decision of the process that leads, so that all stop together."""
        if self.world == 1:
            return decision
        told = torch.tensor(int(decision), device=self.device)
        distributed.broadcast(told, 0)
        return bool(told.item())


ALONE = Machine(torch.device("cpu"))


@contextmanager
def machine(device: str = "auto", precision: str = "fp32") -> Iterator[Machine]:
    """This process's machine, joined with the others of ``torchrun`` while the block runs.

    ``device`` as for ``choose_device``; under ``torchrun`` each process takes the GPU of its local rank.
    """
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    chosen = choose_device(device)
    if world == 1:
        yield Machine(chosen, precision)
        return
    if chosen.type == "cuda":
        chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Machine(chosen, precision, rank, world)
    finally:
        distributed.destroy_process_group()
