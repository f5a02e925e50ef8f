"""The computations of HACA3 in the order of the released program and of the engine, each in its own process.

The released program applies the networks to whole stacks, all 224 slices of every orientation, and fuses the whole
volume at once. Since a whole stack takes 11 GB and minutes, ``make bench`` measures parts: the time per slice of a
stack of ``STACK`` slices, and per plane of a fusion of ``PLANES`` planes. Run this file to measure whole stacks.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from haca3_bids.checkpoints.formats import Checkpoint
from haca3_bids.harmonization.device import inference
from haca3_bids.harmonization.engine import harmonize
from haca3_bids.harmonization.fusion import fuse_in_slabs
from haca3_bids.harmonization.target import Target
from haca3_bids.memory import peak_memory_bytes
from haca3_bids.networks.fusion import FusionNet
from haca3_bids.networks.haca3 import Haca3
from haca3_bids.settings import HarmonizationSettings, Precision
from haca3_bids.volumes.canvas import CANVAS
from haca3_bids.volumes.volume import Volume

THREADS = 1  # with two, a thread that waits for the other would be counted as busy
SOURCES = 2
STACK, PLANES = 24, 56
SIDE = 16  # voxels of a small head, whose canvas slices have the full size
HEAD = np.s_[24:199, 7:218, 24:200]  # bounding box of the built-in head on the canvas
SLICES = 176 + 211 + 175  # slices of three orientations that contain the built-in head
ALL_SLICES = 3 * CANVAS
MATRIX = 2000  # size of the matrices for measuring the speed of the machine


@dataclass(frozen=True)
class Work:
    """Wall time, processor time (summed over threads), peak memory of the process, and FLOP."""

    wall_s: float
    processor_s: float
    peak_bytes: int
    operations: float = 0.0


def apart(work: Callable[[], Work]) -> Work:
    """Run ``work`` in a separate process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work).result()


def times(work: Work, factor: int) -> Work:
    """The calculated cost of the same work done several times."""
    return Work(work.wall_s * factor, work.processor_s * factor, work.peak_bytes, work.operations * factor)


def plus(one: Work, other: Work) -> Work:
    """The calculated cost of two pieces of work in sequence, in one process."""
    seconds = one.wall_s + other.wall_s, one.processor_s + other.processor_s
    return Work(*seconds, max(one.peak_bytes, other.peak_bytes), one.operations + other.operations)


def matrix_product() -> Work:
    """A product of large matrices in fp32, the best of five: the speed of the machine."""
    a = torch.rand(MATRIX, MATRIX)
    with inference(THREADS):
        return min((_timed(lambda: a @ a, 1, 2.0 * MATRIX**3) for _ in range(5)), key=lambda work: work.wall_s)


def released_slice(stack: int = STACK, threads: int = THREADS) -> Work:
    """One slice of a stack: two sources and one target."""
    model, x = _networks(), torch.rand(stack, SOURCES, CANVAS, CANVAS)
    with inference(threads):
        return _timed(lambda: _released(model, x), stack, _operations(model))


def engine_slice(targets: int = 1, threads: int = THREADS) -> Work:
    """One slice as the engine computes it, in a session of ``3 * SIDE`` slices, including all overhead."""
    return _engine((SIDE,) * 3, targets, threads, "fp32", None, 3 * SIDE)


def engine_session(threads: int = THREADS, precision: Precision = "bf16") -> Work:
    """A whole session of two sources and one target as the engine computes it, with the fusion."""
    sides = HEAD[0].stop - HEAD[0].start, HEAD[1].stop - HEAD[1].start, HEAD[2].stop - HEAD[2].start
    work = _engine(sides, 1, threads, precision, _fusion(), 1)
    return replace(work, operations=work.operations * SLICES)


def _engine(
    sides: tuple[int, ...], targets: int, threads: int, precision: Precision, fusion: FusionNet | None, parts: int
) -> Work:
    model = _networks()
    checkpoint = Checkpoint(model, name="random", sha256="", references={}, card={})
    settings = HarmonizationSettings(device="cpu", threads=threads, precision=precision)
    wanted = [Target(f"t{n}", "T1w", (float(n), 1.0), (0.3, 0.5), 1000.0, "benchmark") for n in range(targets)]
    with inference(threads):
        operations = _operations(model)
    return _timed(lambda: harmonize(_head(sides), wanted, checkpoint, fusion, settings), parts, operations)


def released_plane(planes: int = PLANES, threads: int = THREADS) -> Work:
    """One plane of a fusion of several planes at once."""
    net, x = _fusion(), torch.rand(1, 3, planes, CANVAS, CANVAS)
    with inference(threads):
        return _timed(lambda: net(x), planes)


def engine_fusion(threads: int = THREADS) -> Work:
    """The fusion of a whole head."""
    stacks = [np.zeros((CANVAS,) * 3, np.float32) for _ in range(3)]
    for number, stack in enumerate(stacks):
        stack[HEAD] = np.random.default_rng(number).random(stack[HEAD].shape, dtype=np.float32)
    with inference(threads):
        return _timed(lambda: fuse_in_slabs(_fusion(), stacks, torch.device("cpu")), 1)


def _timed(work: Callable[[], object], parts: int, operations: float = 0.0) -> Work:
    """The cost of one of ``parts`` equal parts of ``work``."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return Work(wall / parts, processor / parts, peak_memory_bytes() or 0, operations)


def _networks() -> Haca3:
    torch.manual_seed(0)
    return Haca3().eval().requires_grad_(False)


def _fusion() -> FusionNet:
    torch.manual_seed(0)
    return FusionNet().eval().requires_grad_(False)


def _released(model: Haca3, x: torch.Tensor) -> torch.Tensor:
    """Apply every step to the whole stack x (slices, sources, h, w), with sources in sequence."""
    logits = torch.stack([model.encode(one) for one in x.split(1, dim=1)], dim=1)
    keys = torch.stack([model.codes(one) for one in x.split(1, dim=1)], dim=1)
    query = torch.tensor([[1.0, 1.0, 0.3, 0.5]]).expand(len(x), -1)
    levels = model.fuse(logits, model.attend(keys, query))
    return model.decode(torch.nn.functional.one_hot(levels.argmax(1), 5).permute(0, 3, 1, 2).float(), query[:, :2])


def _operations(model: Haca3) -> float:
    """Floating point operations of one slice."""
    with FlopCounterMode(display=False) as counter:
        _released(model, torch.rand(1, SOURCES, CANVAS, CANVAS))
    return float(counter.get_total_flops())


def _head(sides: tuple[int, ...]) -> dict[str, Volume]:
    noise = np.random.default_rng(0).normal(0, 20, sides)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    return {name: Volume((level + noise).astype(np.float32), affine) for name, level in (("T1w", 1000), ("T2w", 700))}


def main() -> None:
    """Print the wall time of whole stacks and of the whole fusion."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--threads", type=int, default=2, help="(default: 2)")
    threads = parser.parse_args().threads
    works = {
        "a slice of a stack of 224, released order": partial(released_slice, CANVAS, threads),
        "a slice, engine": partial(engine_slice, threads=threads),
        "a plane of the whole fusion, released order": partial(released_plane, CANVAS, threads),
        "the whole fusion, engine": partial(engine_fusion, threads),
        "a session, engine in fp32": partial(engine_session, threads, "fp32"),
        "a session, engine in bf16": partial(engine_session, threads, "bf16"),
    }
    for name, work in works.items():
        found = apart(work)
        print(f"{name:44} {found.wall_s:6.3f} s {found.peak_bytes / 1e9:5.2f} GB", flush=True)


if __name__ == "__main__":
    main()
