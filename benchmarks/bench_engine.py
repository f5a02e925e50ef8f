"""Time and memory of the networks, as ratios to a baseline of the same run. Run with ``make bench``.

Results are printed as one table at the end. The networks have random weights, since their time does not depend on the
weights. Ratios and limits are of processor time, summed over threads, so that they depend less on other work on the
machine.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import released_order
import torch
from released_order import (
    ALL_SLICES,
    MATRIX,
    PLANES,
    SLICES,
    STACK,
    Work,
    engine_fusion,
    engine_session,
    engine_slice,
    plus,
    released_plane,
    released_slice,
    times,
)

from haca3_bids.arrays import Array
from haca3_bids.checkpoints.formats import Checkpoint
from haca3_bids.harmonization import openvino
from haca3_bids.harmonization.engine import harmonize
from haca3_bids.harmonization.target import target_from_reference
from haca3_bids.memory import peak_memory_bytes
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
from haca3_bids.volumes.canvas import CANVAS
from haca3_bids.volumes.volume import Volume, load_volume, save_volume

SCANNED, CORES = ("T1w", "T2w", "FLAIR"), 2
LIMIT_S = {"fp32": 60.0, "bf16": 30.0}  # on two cores
LIMIT_BYTES = 1.5e9
MORE_TARGETS = 1.3  # largest ratio of the time for four targets to that for one
HACA3_SHARE = 1 / 2  # largest ratio to the processor time of the released program
HACA3_SHARE_BF16 = 1 / 8
FASTER = 0.9


@dataclass(frozen=True)
class Cost:
    """Time and memory of one run of the networks, and its first image."""

    wall_s: float
    processor_s: float  # summed over threads
    peak_bytes: int
    image: Array

    @property
    def on_two_cores_s(self) -> float:
        """Seconds on two idle cores."""
        return self.processor_s / CORES


def networks() -> Checkpoint:
    """A mixture model of the size of the built-in one, with random weights."""
    torch.manual_seed(0)
    model = Mixture(MixtureConfig(TISSUES)).eval().requires_grad_(False)
    tables = draw_tables(torch.rand(len(TISSUES), 500) / len(TISSUES), seed=0, sites=60)
    return Checkpoint(model, "random", "", references(), {}, priors(tables))


def cost(files: Mapping[str, Path], wanted: Sequence[str], precision: Precision) -> Cost:
    """The cost of running the networks once in this process."""
    checkpoint = networks()
    targets = [target_from_reference(contrast, checkpoint) for contrast in wanted]
    settings = HarmonizationSettings(device="cpu", precision=precision, threads=CORES)
    wall, processor = time.perf_counter(), time.process_time()
    made = harmonize(_loaded(files), targets, checkpoint, None, settings, white=WHITE_MATTER_PEAK)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return Cost(wall, processor, peak_memory_bytes() or 0, made[0].image.data)


def _loaded(files: Mapping[str, Path]) -> dict[str, Volume]:
    """The scans, which ``harmonize`` may forget as soon as it has prepared them."""
    return {name: load_volume(file) for name, file in files.items()}


def apart(files: Mapping[str, Path], wanted: Sequence[str], precision: Precision = "fp32") -> Cost:
    """The cost in a separate process, as in the App, so that peak memory is that of the networks."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(cost, files, wanted, precision).result()


@dataclass
class Table:
    """The table of results; ``rate`` is the speed of the machine in FLOP/s."""

    rate: float
    rows: list[str] = field(default_factory=list)

    def add(self, what: str, found: Cost | Work, baseline: Cost | Work, operations: float = 0.0) -> float:
        """Add a row; return the ratio of processor times, found to baseline."""
        ratio = found.processor_s / baseline.processor_s
        share = f"{operations / found.processor_s / self.rate:.0%}" if operations else ""
        times = f"{found.wall_s:8.2f} {found.processor_s:8.2f} {baseline.processor_s:8.2f}"
        self.rows.append(f"{what:58} {times} {1 / ratio:6.2f} {found.peak_bytes / 1e9:6.2f} {share:>6}")
        return ratio

    def __str__(self) -> str:
        head = f"{'':58} {'wall s':>8} {'proc. s':>8} {'base s':>8} {'faster':>6} {'GB':>6} {'share':>6}"
        note = (
            "proc.: processor time, all threads; base: that of the baseline; faster: base / proc.; GB: peak memory of "
            f"the process;\nshare: of {self.rate / 1e9:.0f} GFLOP/s, the product of two matrices of {MATRIX} x {MATRIX}"
        )
        return "\n".join(["", head, *self.rows, note])


@pytest.fixture(scope="module")
def table() -> Iterator[Table]:
    """The table, which is printed at the end."""
    product = released_order.apart(released_order.matrix_product)
    table = Table(product.operations / product.processor_s)
    yield table
    print(table)


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The built-in head at 1 mm in three contrasts, white matter at 1000."""
    folder = tmp_path_factory.mktemp("scans")
    head, rng = builtin_head(load_icbm2009a()), np.random.default_rng(0)
    deviations, local = person_deviations(rng), texture(SHAPE, rng)
    images = {
        contrast: acquire(
            rendered(head, tissue_weights(REFERENCE_PROTOCOLS[contrast], deviations), local),
            Imperfections(seed=1, bias=0.03, noise=0.02),
        )
        for contrast in SCANNED
    }
    files = {name: folder / f"{name}.nii" for name in images}
    for name, image in images.items():
        save_volume(Volume(image * np.float32(WHITE_MATTER_PEAK), AFFINE), files[name])
    return files


@pytest.fixture(scope="module")
def runs(scans: Mapping[str, Path]) -> list[Cost]:
    """Three contrasts to their three targets, twice."""
    return [apart(scans, SCANNED) for _ in range(2)]


@pytest.fixture(scope="module")
def baseline(runs: list[Cost], table: Table) -> Cost:
    """The run that was disturbed less by other work on the machine."""
    found = min(runs, key=lambda run: run.processor_s)
    table.add("mixture: three contrasts to three targets", found, found)
    return found


def test_a_session_takes_a_minute_and_little_memory(baseline: Cost) -> None:
    assert baseline.on_two_cores_s < LIMIT_S["fp32"]
    assert baseline.peak_bytes < LIMIT_BYTES


def test_the_same_input_gives_the_same_bits(runs: list[Cost]) -> None:
    np.testing.assert_array_equal(runs[0].image, runs[1].image)


def test_four_targets_cost_little_more_than_one(scans: Mapping[str, Path], table: Table) -> None:
    one, four = apart(scans, CONTRASTS[:1]), apart(scans, CONTRASTS)
    assert table.add("mixture: four targets, base: one target", four, one) < MORE_TARGETS


def test_half_precision_takes_half_a_minute_where_the_processor_has_it(
    scans: Mapping[str, Path], baseline: Cost, table: Table
) -> None:
    if not has_bf16():
        pytest.skip("This processor has no bf16 arithmetic.")
    brief = apart(scans, SCANNED, "bf16")
    table.add("mixture: bf16, base: fp32", brief, baseline)
    assert brief.on_two_cores_s < LIMIT_S["bf16"]


def has_bf16() -> bool:
    """Whether the processor computes in bfloat16 (Linux)."""
    try:
        return "bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def test_haca3_takes_less_than_half_of_the_released_programs_time(table: Table) -> None:
    """Two sources, one target, fusion: parts are measured, and the session is extrapolated from them."""
    base, engine = released_order.apart(released_slice), released_order.apart(engine_slice)
    plane, fused = released_order.apart(released_plane), released_order.apart(engine_fusion)
    whole = times(plane, CANVAS)
    table.add(f"HACA3: a slice, base: of a stack of {STACK}", engine, base, engine.operations)
    table.add(f"HACA3: fusion of a head, base: {PLANES} planes at once x 4", fused, whole)
    session = plus(times(engine, SLICES), fused)
    released = plus(times(base, ALL_SLICES), whole)
    operations = engine.operations * SLICES
    ratio = table.add(
        f"HACA3: a session, {SLICES} slices, base: {ALL_SLICES}", session, released, operations=operations
    )
    assert ratio < HACA3_SHARE
    assert session.peak_bytes < LIMIT_BYTES
    if openvino.usable(torch.device("cpu"), "bf16"):
        brief = released_order.apart(engine_session)
        share = table.add("HACA3: a session in bf16 with OpenVINO", brief, released, operations=brief.operations)
        assert share < HACA3_SHARE_BF16
        assert brief.peak_bytes < LIMIT_BYTES


def test_two_targets_of_haca3_share_one_encoding(table: Table) -> None:
    one, two = released_order.apart(engine_slice), released_order.apart(partial(engine_slice, targets=2))
    assert table.add("HACA3: two targets, base: two runs", two, times(one, 2)) < FASTER
