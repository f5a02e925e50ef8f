"""How long the networks take and how much memory, as ratios to a baseline of the same run. Run with ``make bench``.

The mixture model has random weights: its time depends on the images, not on what it has learnt. Times that are limits
are those of the processor, all threads together, so that other work on the machine does not count.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from haca3_bids.arrays import Array
from haca3_bids.checkpoints.formats import Checkpoint
from haca3_bids.harmonization.engine import harmonize
from haca3_bids.harmonization.target import Target, target_from_reference
from haca3_bids.memory import peak_memory_bytes
from haca3_bids.networks.haca3 import Haca3, Haca3Config
from haca3_bids.networks.mixture import Mixture, MixtureConfig
from haca3_bids.physics.anatomy import AFFINE, SHAPE, builtin_head
from haca3_bids.physics.cohort import rendered
from haca3_bids.physics.protocols import REFERENCE_PROTOCOLS
from haca3_bids.physics.render import texture, tissue_weights
from haca3_bids.physics.scanner import Imperfections, acquire
from haca3_bids.physics.tissues import TISSUES, person_deviations
from haca3_bids.settings import CONTRASTS, WHITE_MATTER_PEAK, HarmonizationSettings, Precision
from haca3_bids.training.mixture_export import priors, references
from haca3_bids.training.tables import draw_tables
from haca3_bids.volumes.builtin import load_icbm2009a
from haca3_bids.volumes.volume import Volume

SCANNED, CORES = ("T1w", "T2w", "FLAIR"), 2
LIMIT_S = {"fp32": 60.0, "bf16": 30.0}  # on two cores
LIMIT_BYTES = 1.5e9
MORE_TARGETS = 1.3  # four targets against one
SIDE = 24  # voxels: a small head for HACA3, whose whole heads take half an hour
FASTER, SAME = 0.9, 1.1


@dataclass(frozen=True)
class Cost:
    """What one run of the networks took, and its first image."""

    wall_s: float
    processor_s: float  # all threads together
    peak_bytes: int
    image: Array

    @property
    def on_two_cores_s(self) -> float:
        """Seconds, were the machine free."""
        return self.processor_s / CORES


def networks() -> Checkpoint:
    """The mixture model as large as the built-in one, of random weights."""
    torch.manual_seed(0)
    model = Mixture(MixtureConfig(TISSUES)).eval().requires_grad_(False)
    tables = draw_tables(torch.rand(len(TISSUES), 500) / len(TISSUES), seed=0, sites=60)
    return Checkpoint(model, "random", "", references(), {}, priors(tables))


def cost(scans: dict[str, Volume], wanted: Sequence[str], precision: Precision) -> Cost:
    """The networks applied in this process, once."""
    checkpoint = networks()
    targets = [target_from_reference(contrast, checkpoint) for contrast in wanted]
    settings = HarmonizationSettings(device="cpu", precision=precision, threads=CORES)
    wall, processor = time.perf_counter(), time.process_time()
    made = harmonize(scans, targets, checkpoint, None, settings, white=WHITE_MATTER_PEAK)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return Cost(wall, processor, peak_memory_bytes() or 0, made[0].image.data)


def apart(scans: dict[str, Volume], wanted: Sequence[str], precision: str = "fp32") -> Cost:
    """The same in a process of its own, as the App has it, so that the peak of memory is the networks'."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = pool.submit(cost, scans, wanted, precision).result()
    print(f"\n{len(scans)} contrasts to {len(wanted)} targets, {precision}: {found.wall_s:.1f} s,", end=" ")
    print(f"{found.processor_s:.1f} s of processor ({found.on_two_cores_s:.1f} s on {CORES} cores),", end=" ")
    print(f"peak {found.peak_bytes / 1e9:.2f} GB")
    return found


@pytest.fixture(scope="module")
def scans() -> dict[str, Volume]:
    """The built-in head at 1 mm in three contrasts, white matter at 1000."""
    head, rng = builtin_head(load_icbm2009a()), np.random.default_rng(0)
    deviations, local = person_deviations(rng), texture(SHAPE, rng)
    images = {
        contrast: acquire(
            rendered(head, tissue_weights(REFERENCE_PROTOCOLS[contrast], deviations), local),
            Imperfections(seed=1, bias=0.03, noise=0.02),
        )
        for contrast in SCANNED
    }
    return {name: Volume(image * np.float32(WHITE_MATTER_PEAK), AFFINE) for name, image in images.items()}


@pytest.fixture(scope="module")
def baseline(scans: dict[str, Volume]) -> Cost:
    """Three contrasts to their three targets."""
    return apart(scans, SCANNED)


def test_a_session_takes_a_minute_and_little_memory(baseline: Cost) -> None:
    assert baseline.on_two_cores_s < LIMIT_S["fp32"]
    assert baseline.peak_bytes < LIMIT_BYTES


def test_the_same_input_gives_the_same_bits(scans: dict[str, Volume], baseline: Cost) -> None:
    np.testing.assert_array_equal(apart(scans, SCANNED).image, baseline.image)


def test_four_targets_cost_little_more_than_one(scans: dict[str, Volume]) -> None:
    one, four = apart(scans, CONTRASTS[:1]), apart(scans, CONTRASTS)
    assert report("four targets, against one", four.processor_s, one.processor_s) < MORE_TARGETS


def test_half_precision_takes_half_a_minute_where_the_processor_has_it(
    scans: dict[str, Volume], baseline: Cost
) -> None:
    brief = apart(scans, SCANNED, "bf16")
    report("bf16, against fp32", brief.processor_s, baseline.processor_s)
    if not has_bf16():
        pytest.skip("This processor has no bf16 arithmetic.")
    assert brief.on_two_cores_s < LIMIT_S["bf16"]


def has_bf16() -> bool:
    """Whether the processor computes in bfloat16 (Linux)."""
    try:
        return "bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


@pytest.fixture(scope="module")
def haca3() -> Checkpoint:
    torch.manual_seed(0)
    return Checkpoint(model=Haca3(Haca3Config()).eval(), name="random", sha256="", references={}, card={})


@pytest.fixture(scope="module")
def small() -> dict[str, Volume]:
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


def test_two_targets_of_haca3_share_one_encoding(haca3: Checkpoint, small: dict[str, Volume]) -> None:
    settings = HarmonizationSettings(device="cpu")
    twice = sum(seconds(partial(harmonize, small, [target(n)], haca3, None, settings)) for n in (1, 2))
    together = seconds(lambda: harmonize(small, [target(1), target(2)], haca3, None, settings))
    assert report("two targets in one run, against two runs", together, twice) < FASTER


def test_empty_slices_are_skipped(haca3: Checkpoint, small: dict[str, Volume]) -> None:
    settings = HarmonizationSettings(device="cpu")
    half = {
        name: volume.with_data(np.where(np.arange(SIDE) < SIDE // 2, volume.data, 0)) for name, volume in small.items()
    }
    whole = seconds(lambda: harmonize(small, [target(1)], haca3, None, settings))
    partial = seconds(lambda: harmonize(half, [target(1)], haca3, None, settings))
    assert report("a scan of the lower half, against the whole", partial, whole) < SAME
