"""The device and the precision of a run, and the rank of this process under ``torchrun``."""

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from haca3_bids.harmonization.device import choose_device

PATIENCE = timedelta(hours=12)  # for a process that computes heads or prepares sessions


@dataclass(frozen=True)
class Machine:
    """One process of a run of ``world`` processes: its device, precision and rank."""

    device: torch.device
    precision: str = "fp32"
    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes the files of the run (rank 0)."""
        return self.rank == 0

    def arithmetic(self) -> AbstractContextManager[object]:
        """A context in which operations run in the chosen precision (autocast); parameters stay in fp32."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.precision == "bf16" else nullcontext()

    def moved(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The batch on this process's device."""
        return {name: tensor.to(self.device, non_blocking=True) for name, tensor in batch.items()}

    def shared(self, module: nn.Module) -> nn.Module:
        """The module for distributed training: gradients are averaged over all processes."""
        if self.world == 1:
            return module
        return DistributedDataParallel(module, find_unused_parameters=True)  # a step need not use all networks

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """Run the block in rank 0 first and then in the other processes, which find the files it wrote."""
        if self.world > 1 and not self.leads:
            distributed.barrier()
        yield
        if self.world > 1 and self.leads:
            distributed.barrier()

    def agreed(self, decision: bool) -> bool:
        """The decision of rank 0, broadcast so that all processes stop together."""
        if self.world == 1:
            return decision
        flag = torch.tensor(int(decision), device=self.device)
        distributed.broadcast(flag, 0)
        return bool(flag.item())


ALONE = Machine(torch.device("cpu"))


@contextmanager
def machine(device: str = "auto", precision: str = "fp32") -> Iterator[Machine]:
    """The machine of this process; under ``torchrun`` the process group exists while the block runs.

    ``device`` is as for ``choose_device``; under ``torchrun`` each process uses the GPU of its local rank.
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
