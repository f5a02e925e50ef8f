"""Shared parts of the evaluations of the weights: heads, sites, scans, and harmonization of whole volumes.

The test set is defined here and was chosen before any network was applied to it. Tuning uses validation heads; test
heads are used with ``--open-test-set`` only, once, when nothing is going to be changed any more.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from haca3_bids.checkpoints.formats import Checkpoint
from haca3_bids.harmonization.engine import Harmonized, encode_target, encode_targets, harmonize
from haca3_bids.harmonization.job import load_networks
from haca3_bids.harmonization.target import Target
from haca3_bids.intensity.background import head_mask
from haca3_bids.intensity.white_matter import white_matter_peak
from haca3_bids.networks.fusion import FusionNet
from haca3_bids.physics.anatomy import AFFINE, SHAPE, Anatomy
from haca3_bids.physics.cohort import rendered
from haca3_bids.physics.protocols import draw_site, held_out_sites
from haca3_bids.physics.render import texture, tissue_weights
from haca3_bids.physics.scanner import Imperfections, acquire, draw_acquisition
from haca3_bids.physics.signal import Protocol
from haca3_bids.physics.tissues import person_deviations
from haca3_bids.settings import CONTRASTS, PRECISIONS, WHITE_MATTER_PEAK, HarmonizationSettings
from haca3_bids.training.heads import find_label_maps, load_heads
from haca3_bids.volumes.volume import Volume

VALIDATION_HEADS = ("subject44", "training_seg_12")
TEST_HEADS = (
    "subject46", "subject47", "subject48", "subject49",
    "training_seg_13", "training_seg_14", "training_seg_16", "training_seg_17",
)  # fmt: skip
VALIDATION_SITES_SEED, SITES = 4711, 8
WHITE_CORE = 0.95  # smallest white-matter fraction of voxels in which its peak is estimated
Array = NDArray[np.float32]
Site = dict[str, Protocol]
T = TypeVar("T")


@dataclass(frozen=True)
class Someone:
    """A simulated person: a head with tissue values and texture drawn from its name."""

    name: str
    anatomy: Anatomy
    deviations: Array
    local: Array

    def truth(self, protocol: Protocol) -> Volume:
        """The noise-free image, upright, at 1 mm."""
        return Volume(rendered(self.anatomy, tissue_weights(protocol, self.deviations), self.local), AFFINE)

    def bound(self, protocol: Protocol, other: Someone) -> Volume:
        """What can be known of the truth: this anatomy without texture, with the other person's tissue values."""
        smooth = np.broadcast_to(np.float32(0), self.local.shape)
        return Volume(rendered(self.anatomy, tissue_weights(protocol, other.deviations), smooth), AFFINE)

    def scan(self, protocol: Protocol, tag: str, how: Imperfections | None = None) -> Volume:
        """An ordinary scan drawn from person, contrast and ``tag``, or one with given imperfections.

        The white-matter peak is at 1000, as after preprocessing.
        """
        rng = self.chance(f"{protocol.contrast} {tag}")
        image = acquire(self.truth(protocol).data, how or draw_acquisition(rng))
        peak = white_matter_peak(image, self.anatomy.share_of("white") > WHITE_CORE)
        return Volume(image * np.float32(WHITE_MATTER_PEAK / peak), AFFINE)

    def chance(self, tag: str) -> np.random.Generator:
        """A random generator determined by the person and ``tag``."""
        return np.random.default_rng(zlib.crc32(f"{self.name} {tag}".encode()))


def someone(anatomy: Anatomy, name: str = "") -> Someone:
    """The person with a head; ``name`` (by default that of the head) determines tissue values and texture."""
    name = name or anatomy.name
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    deviations = person_deviations(rng)
    return Someone(name, anatomy, deviations, texture(SHAPE, rng))


@dataclass(frozen=True)
class Stage:
    """Heads, sites, weights and settings of a script."""

    heads: list[Anatomy]
    builtin: Anatomy
    sites: list[Site]
    checkpoint: Checkpoint
    fusion: FusionNet | None
    settings: HarmonizationSettings
    out: Path
    part: tuple[int, int] = (1, 1)

    def people(self) -> Iterator[tuple[int, Someone, Someone]]:
        """Number, person, and another person whose scans are the target: the next head, or the built-in one."""
        for number, head in self.share(list(enumerate(self.heads))):
            other = self.heads[(number + 1) % len(self.heads)] if len(self.heads) > 1 else self.builtin
            yield number, someone(head), someone(other)

    def share(self, everyone: Sequence[T]) -> Sequence[T]:
        """The part of a sequence that this process measures."""
        part, parts = self.part
        return everyone[part - 1 :: parts]

    def pair(self, number: int) -> tuple[Site, Site]:
        """The source site and the target site of a person, which are consecutive sites."""
        return self.sites[number % len(self.sites)], self.sites[(number + 1) % len(self.sites)]

    def target(self, other: Someone, protocol: Protocol) -> Target:
        """The target measured from an ordinary scan of another person at the target site."""
        return self.encoded(other.scan(protocol, "reference"), protocol.contrast)

    def encoded(self, scan: Volume, contrast: str) -> Target:
        """The target measured from a scan by the engine: its theta and eta."""
        return encode_target(scan, contrast, self.checkpoint, self.settings, name=contrast, white=WHITE_MATTER_PEAK)

    def session_targets(self, other: Someone, site: Site) -> dict[str, Target]:
        """The targets of all contrasts, measured together from a session of ordinary scans of another person."""
        return self.encoded_together({name: other.scan(site[name], "reference") for name in CONTRASTS})

    def encoded_together(self, scans: Mapping[str, Volume]) -> dict[str, Target]:
        """The targets measured from the scans of one session, by contrast."""
        made = encode_targets(scans, self.checkpoint, self.settings, white=WHITE_MATTER_PEAK)
        return {one.contrast: one for one in made}

    def harmonized(
        self, sources: Mapping[str, Volume], targets: Sequence[Target], brain: NDArray[np.bool_] | None = None
    ) -> list[Harmonized]:
        """Volumes harmonized by the engine; attention is averaged over ``brain``, if given."""
        where = None if brain is None else Volume(brain.astype(np.float32), AFFINE)
        return harmonize(
            sources, targets, self.checkpoint, self.fusion, self.settings, brain=where, white=WHITE_MATTER_PEAK
        )


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options common to all scripts."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--labels", type=Path, required=True, help="folder of label maps")
    made.add_argument("--cache", type=Path, required=True, help="folder in which heads made of label maps are cached")
    made.add_argument(
        "--out", type=Path, required=True, help="file of JSON lines; results that it contains are not measured again"
    )
    made.add_argument("--heads", nargs="+", default=list(VALIDATION_HEADS), help="prefixes of the names of label maps")
    made.add_argument("--open-test-set", action="store_true", help="use the test heads and the held-out sites")
    made.add_argument(
        "--part", type=part_of, default="1/1", help="1/2, 2/2: every second person, for two processes at once"
    )
    made.add_argument("--sites", type=int, default=SITES, help="number of sites, at most 8; fewer for a trial")
    made.add_argument("--weights", default="builtin")
    made.add_argument("--fusion-weights", default="auto", help="of HACA3: a name, a file or median")
    made.add_argument("--precision", choices=PRECISIONS, default=PRECISIONS[0])
    made.add_argument("--threads", type=int, default=0)
    return made


def part_of(text: str) -> tuple[int, int]:
    """``2/3`` as (2, 3); ValueError for any other text."""
    part, parts = (int(number) for number in text.split("/"))
    if not 1 <= part <= parts:
        raise ValueError
    return part, parts


def stage(options: argparse.Namespace) -> Stage:
    """Heads, sites and weights for these options; SystemExit if a test head is named without --open-test-set."""
    names = TEST_HEADS if options.open_test_set else tuple(options.heads)
    if not options.open_test_set and any(name.startswith(TEST_HEADS) for name in names):
        raise SystemExit("Test heads are opened once, with --open-test-set; tune on validation heads.")
    found = find_label_maps(options.labels)
    maps = {head: path for name in names for head, path in found.items() if path.name.startswith(name)}
    if len(maps) != len(names):
        raise SystemExit(f"{options.labels} has {len(maps)} maps that begin with {', '.join(names)}.")
    # random numbers depend on the names of the files alone, so that the people are those of the model card
    builtin, *heads = (replace(one, name=Path(one.name).name) for one in load_heads(maps, options.cache))
    rng = np.random.default_rng(VALIDATION_SITES_SEED)
    sites = held_out_sites() if options.open_test_set else [draw_site(rng) for _ in range(SITES)]
    settings = HarmonizationSettings(
        weights=options.weights,
        fusion_weights=options.fusion_weights,
        precision=options.precision,
        threads=options.threads,
    )
    networks = load_networks(settings)
    checkpoint, fusion = networks.checkpoint, networks.fusion
    return Stage(heads, builtin, sites[: options.sites], checkpoint, fusion, settings, options.out, options.part)


def head_of(truth: Volume) -> NDArray[np.bool_]:
    """The head mask of a noise-free image."""
    return head_mask(truth.data)


def kept(out: Path) -> list[dict[str, Any]]:
    """The rows that a script has written before."""
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


def keep(out: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append rows to the output."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def measure_everyone(on: Stage, measured: Callable[[int, Someone, Someone, Stage], list[dict[str, Any]]]) -> None:
    """Measure each person without rows, and append theirs to the output."""
    done = {row["person"] for row in kept(on.out)}
    for number, person, other in on.people():
        if person.name not in done:
            keep(on.out, measured(number, person, other, on))
            print(f"{person.name} is measured", flush=True)
