"""The device and the precision of the networks, and the handling of exhausted memory."""

import contextlib
import ctypes
import logging
import sys
from collections.abc import Callable, Iterator
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from haca3_bids.errors import TemporaryFailure, Unavailable, UsageError
from haca3_bids.parse import check_device
from haca3_bids.settings import PRECISIONS, Precision

logger = logging.getLogger(__name__)

CPU_BATCH = 4  # slices; measured: 4 and 8 take the same time for each slice, 8 takes 300 MB more
M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1  # glibc, malloc.h
KEEP_BYTES, RETURN_BYTES = 1 << 30, 1 << 22  # larger pieces than these are returned to the system when freed
Indices = NDArray[np.intp]


def choose_device(wanted: str) -> torch.device:
    """The device for "auto", "cpu", "cuda" or "cuda:N"; Unavailable (69) if there is no such GPU."""
    check_device(wanted)
    present = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "auto":
        chosen = torch.device("cuda" if present else "cpu")
        logger.info("Device auto: %s.", f"{chosen} of {present}" if present else "cpu, no GPU is visible")
        return chosen
    device = torch.device(wanted)
    if device.type == "cuda" and (device.index or 0) >= present:
        raise Unavailable(
            f"The device {wanted} is unavailable: {present} GPUs are visible to PyTorch {torch.__version__}.",
            "In a container start with `docker run --gpus all` or `apptainer run --nv`; or use --device cpu.",
        )
    return device


def choose_precision(wanted: str, device: torch.device) -> Precision:
    """The precision called "fp32", "bf16" or "auto": bf16 where the device computes in it."""
    if wanted not in PRECISIONS:
        raise UsageError(f"{wanted} is not a precision.", f"Choose one of {', '.join(PRECISIONS)}.")
    if wanted != "auto":
        return cast(Precision, wanted)
    return "bf16" if computes_bf16(device) else "fp32"


def computes_bf16(device: torch.device) -> bool:
    """Whether the GPU or the processor has bf16 arithmetic."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in names)


@contextlib.contextmanager
def inference(threads: int) -> Iterator[None]:
    """Within the block: no gradients, deterministic kernels, ``threads`` CPU threads (0: PyTorch's choice)."""
    before = torch.get_num_threads()
    if threads:
        torch.set_num_threads(threads)
    kernels = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    try:
        with torch.inference_mode(), kernels:
            yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def reused_memory() -> Iterator[None]:
    """Within the block, memory of freed tensors is reused instead of returned to the system (glibc only).

    Feature maps are so large that malloc would map new pages each time, and clearing these takes a fifth of the time
    of the networks. Afterwards all is returned, because the gaps would not fit the maps of the fusion network.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        mallopt, trim = libc.mallopt, libc.malloc_trim
    except (OSError, AttributeError):
        yield
        return
    for option in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD):
        mallopt(option, KEEP_BYTES)
    try:
        yield
    finally:
        for option in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD):
            mallopt(option, RETURN_BYTES)
        trim(0)


def half_precision(device: torch.device, precision: str) -> torch.autocast:
    """The context in which networks compute in bfloat16 if ``precision`` is "bf16"."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


class Batches:
    """Runs a step over batches of slices; if the GPU's memory runs out, the batch is halved and the step repeated.

    On a CPU, batches have at most CPU_BATCH slices: larger ones need more memory and save no time.
    """

    def __init__(self, size: int, device: torch.device) -> None:
        self.size = min(max(1, size), CPU_BATCH) if device.type == "cpu" else max(1, size)

    def run(self, indices: Indices, step: Callable[[Indices], None], label: str = "") -> None:
        """Call ``step`` on all indices in batches; torch.OutOfMemoryError if not even one slice fits.

        On a terminal, a progress bar that begins with ``label`` is shown.
        """
        done = 0
        hidden = not (label and sys.stderr.isatty())
        bar = tqdm(total=len(indices), desc=label, unit="slice", leave=False, disable=hidden)
        while done < len(indices):
            batch = indices[done : done + self.size]
            try:
                step(batch)
            except torch.OutOfMemoryError:
                if self.size == 1:
                    raise
                self.size //= 2
                logger.warning("GPU out of memory: continuing with batches of %d slices.", self.size)
                torch.cuda.empty_cache()
            else:
                done += len(batch)
                bar.update(len(batch))
        bar.close()


def out_of_memory(device: torch.device) -> TemporaryFailure:
    """The error for a GPU that cannot hold a single slice, if the CPU is not allowed."""
    return TemporaryFailure(
        f"The memory of {device} ran out even for single slices; something else may be using it.",
        "Try again when it is free, or use --device auto or --device cpu.",
    )
