"""How long the engine takes, each time as a ratio to a baseline measured in the same run. Run with ``make bench``."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch

from haca3_bids.checkpoints.formats import Checkpoint
from haca3_bids.harmonization.consistency import consistent
from haca3_bids.harmonization.engine import harmonize
from haca3_bids.harmonization.prepare import Prepared
from haca3_bids.harmonization.target import Target
from haca3_bids.networks.haca3 import Haca3, Haca3Config
from haca3_bids.settings import HarmonizationSettings
from haca3_bids.volumes.volume import Volume

SIDE = 24  # voxels: a small head, so that the whole file takes some minutes on two cores
FASTER, SAME, TWICE = 0.9, 1.1, 2.0
MINUTE = 60.0


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    return Checkpoint(model=Haca3(Haca3Config()).eval(), name="random", sha256="", references={}, card={})


@pytest.fixture(scope="module")
def sources() -> dict[str, Volume]:
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, SIDE)] * 3, indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    noise = np.random.default_rng(0).normal(0, 20, radius.shape)
    images = {"T1w": 1200 - 600 * radius + noise, "T2w": 400 + 800 * radius + noise}
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    return {name: Volume(np.where(radius < 0.9, data, 0).astype(np.float32), affine) for name, data in images.items()}


def target(number: int) -> Target:
    return Target(f"t{number}", "T1w", (float(number), 1.0), (0.3, 0.5), 1000.0, "benchmark")


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def report(what: str, found: float, baseline: float) -> float:
    print(f"\n{what}: {found:.1f} s against {baseline:.1f} s, ratio {found / baseline:.2f}")
    return found / baseline


def test_two_targets_share_one_encoding(checkpoint: Checkpoint, sources: dict[str, Volume]) -> None:
    settings = HarmonizationSettings(device="cpu")
    apart = sum(seconds(lambda n=n: harmonize(sources, [target(n)], checkpoint, None, settings)) for n in (1, 2))
    together = seconds(lambda: harmonize(sources, [target(1), target(2)], checkpoint, None, settings))
    assert report("two targets in one run, against two runs", together, apart) < FASTER


def test_empty_slices_are_skipped(checkpoint: Checkpoint, sources: dict[str, Volume]) -> None:
    settings = HarmonizationSettings(device="cpu")
    half = {
        name: volume.with_data(np.where(np.arange(SIDE) < SIDE // 2, volume.data, 0))
        for name, volume in sources.items()
    }
    whole = seconds(lambda: harmonize(sources, [target(1)], checkpoint, None, settings))
    partial = seconds(lambda: harmonize(half, [target(1)], checkpoint, None, settings))
    assert report("a scan of the lower half, against the whole", partial, whole) < SAME


def test_half_precision(checkpoint: Checkpoint, sources: dict[str, Volume]) -> None:
    full = HarmonizationSettings(device="cpu")
    brief = HarmonizationSettings(device="cpu", precision="bf16")
    baseline = seconds(lambda: harmonize(sources, [target(1)], checkpoint, None, full))
    found = seconds(lambda: harmonize(sources, [target(1)], checkpoint, None, brief))
    report("bf16, against fp32", found, baseline)  # faster only where the processor has bf16 arithmetic


def test_a_residual_costs_one_more_decoding(checkpoint: Checkpoint, sources: dict[str, Volume]) -> None:
    none, half = (HarmonizationSettings(device="cpu", residual=share) for share in (0.0, 0.5))
    baseline = seconds(lambda: harmonize(sources, [target(1)], checkpoint, None, none))
    found = seconds(lambda: harmonize(sources, [target(1)], checkpoint, None, half))
    assert report("half of the residual, against none", found, baseline) < TWICE


def test_consistency_of_a_whole_head_takes_seconds() -> None:
    rng = np.random.default_rng(0)
    mask = np.ones((150, 150, 150), bool)  # 3.4 million voxels
    values = [rng.uniform(0, 2, mask.shape).astype(np.float32) for _ in range(3)]
    sources = {str(number): Prepared(value, mask, mask, 1.0) for number, value in enumerate(values)}
    start = time.process_time()
    consistent(values[0] * values[1], sources, mask, 0.5, threads=1)
    taken = time.process_time() - start
    print(f"\nconsistency with three sources: {taken:.1f} s of processor")
    assert taken < MINUTE
