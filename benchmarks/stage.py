"""What the measurements of the built-in weights share: heads, sites, scans, and harmonization as inference does it.

The test set is named here and was chosen before any of it was seen by a network. Scripts tune and try on validation
heads; a test head is only taken with ``--open-test-set``, once, when nothing is going to be changed any more.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from haca3_bids.checkpoints.formats import Checkpoint, load_checkpoint, load_fusion
from haca3_bids.checkpoints.registry import resolve
from haca3_bids.evaluation.similarity import Similarity, compared, psnr_db, scaled, ssim
from haca3_bids.harmonization.consistency import consistency_weight, consistent
from haca3_bids.harmonization.device import PRECISIONS, Batches, choose_device, inference, made_lean
from haca3_bids.harmonization.engine import harmonize
from haca3_bids.harmonization.prepare import Prepared, Rim, fit_images, nonempty, prepare, representative
from haca3_bids.harmonization.stream import Draw, Session, Stream, union
from haca3_bids.harmonization.target import Target, encode_target
from haca3_bids.intensity.background import head_mask
from haca3_bids.networks.fusion import FusionNet
from haca3_bids.physics.anatomy import AFFINE, SHAPE, Anatomy
from haca3_bids.physics.cohort import rendered
from haca3_bids.physics.protocols import draw_site, held_out_sites
from haca3_bids.physics.render import texture, tissue_weights
from haca3_bids.physics.scanner import Imperfections, acquire, draw_acquisition
from haca3_bids.physics.signal import Protocol
from haca3_bids.physics.tissues import person_deviations
from haca3_bids.settings import HarmonizationSettings
from haca3_bids.training.heads import find_label_maps, load_heads
from haca3_bids.volumes.canvas import Canvas
from haca3_bids.volumes.slices import ORIENTATIONS, cut
from haca3_bids.volumes.volume import Volume

VALIDATION_HEADS = ("subject44", "training_seg_12")
TEST_HEADS = (
    "subject46", "subject47", "subject48", "subject49",
    "training_seg_13", "training_seg_14", "training_seg_16", "training_seg_17",
)  # fmt: skip
VALIDATION_SITES_SEED, SITES = 4711, 8
Array = NDArray[np.float32]
Site = dict[str, Protocol]
T = TypeVar("T")


@dataclass(frozen=True)
class Someone:
    """A simulated person: one head, its tissue values and its texture, drawn from its name."""

    name: str
    anatomy: Anatomy
    deviations: Array
    local: Array

    def truth(self, protocol: Protocol) -> Volume:
        """The noise-free image, upright, 1 mm."""
        return Volume(rendered(self.anatomy, tissue_weights(protocol, self.deviations), self.local), AFFINE)

    def scan(self, protocol: Protocol, tag: str, how: Imperfections | None = None) -> Volume:
        """An ordinary scan drawn from person, contrast and ``tag``, or one with given imperfections."""
        rng = self.chance(f"{protocol.contrast} {tag}")
        return Volume(acquire(self.truth(protocol).data, how or draw_acquisition(rng)), AFFINE)

    def chance(self, tag: str) -> np.random.Generator:
        """A generator that belongs to this person and ``tag``."""
        return np.random.default_rng(zlib.crc32(f"{self.name} {tag}".encode()))


def someone(anatomy: Anatomy) -> Someone:
    """The person of a head."""
    rng = np.random.default_rng(zlib.crc32(anatomy.name.encode()))
    deviations = person_deviations(rng)
    return Someone(anatomy.name, anatomy, deviations, texture(SHAPE, rng))


@dataclass(frozen=True)
class Stage:
    """Everything a script needs."""

    heads: list[Anatomy]
    builtin: Anatomy
    sites: list[Site]
    checkpoint: Checkpoint
    fusion: FusionNet
    settings: HarmonizationSettings
    every: int
    out: Path
    part: tuple[int, int] = (1, 1)

    def people(self) -> Iterator[tuple[int, Someone, Someone]]:
        """Number, person, and another person whose scans set the target: the next head, or the built-in one."""
        for number, head in self.share(list(enumerate(self.heads))):
            other = self.heads[(number + 1) % len(self.heads)] if len(self.heads) > 1 else self.builtin
            yield number, someone(head), someone(other)

    def share(self, everyone: Sequence[T]) -> Sequence[T]:
        """Those that are this process's part."""
        part, parts = self.part
        return everyone[part - 1 :: parts]

    def pair(self, number: int) -> tuple[Site, Site]:
        """The source site and the target site of a person: each site is once either."""
        return self.sites[number % len(self.sites)], self.sites[(number + 1) % len(self.sites)]

    def target(self, other: Someone, protocol: Protocol) -> Target:
        """What an ordinary scan of another person at the target site asks for, encoded as at inference."""
        scan = other.scan(protocol, "reference")
        return encode_target(scan, protocol.contrast, self.checkpoint, self.settings, name=protocol.contrast)


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options of all scripts."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--labels", type=Path, required=True, help="folder of label maps")
    made.add_argument("--cache", type=Path, required=True, help="where heads made of label maps are kept")
    made.add_argument("--out", type=Path, required=True, help="JSON lines; what is there already is not done again")
    made.add_argument("--heads", nargs="+", default=list(VALIDATION_HEADS), help="beginnings of the maps' names")
    made.add_argument("--open-test-set", action="store_true", help="take the test heads and the held-out sites")
    made.add_argument("--every", type=int, default=1, help="1: whole volumes through the engine; 8: one slice in eight")
    made.add_argument(
        "--part", type=part_of, default="1/1", help="1/2, 2/2: every second person, for two processes at once"
    )
    made.add_argument("--sites", type=int, default=SITES, help="how many of the eight; fewer for a trial")
    made.add_argument("--residual", type=float, help="share of a source's residual; default: what the weights say")
    made.add_argument("--consistency", type=float, help="of the mean over like voxels; default: as the weights say")
    made.add_argument("--weights", default="builtin")
    made.add_argument("--fusion-weights", default="builtin")
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
    """Heads, sites and weights for these options; SystemExit where a test head is named without being opened."""
    names = TEST_HEADS if options.open_test_set else tuple(options.heads)
    if not options.open_test_set and any(name.startswith(TEST_HEADS) for name in names):
        raise SystemExit("Test heads are opened once, with --open-test-set; tune on validation heads.")
    maps = [path for name in names for path in find_label_maps(options.labels) if path.name.startswith(name)]
    if len(maps) != len(names):
        raise SystemExit(f"{options.labels} has {len(maps)} maps that begin with {', '.join(names)}.")
    builtin, *heads = load_heads(maps, options.cache)
    rng = np.random.default_rng(VALIDATION_SITES_SEED)
    sites = held_out_sites() if options.open_test_set else [draw_site(rng) for _ in range(SITES)]
    beyond = {"residual": options.residual, "consistency": options.consistency}
    settings = HarmonizationSettings(device="auto", precision=options.precision, threads=options.threads, **beyond)
    checkpoint, fusion = (
        load_checkpoint(resolve(options.weights)),
        load_fusion(resolve(options.fusion_weights, "fusion")),
    )
    chosen = sites[: options.sites]
    return Stage(heads, builtin, chosen, checkpoint, fusion, settings, options.every, options.out, options.part)


@dataclass(frozen=True)
class Made:
    """One harmonized image: a whole volume on the sources' grid, or some slices of each orientation."""

    volume: Array | None
    slices: Mapping[str, Array]  # orientation -> (slices, 224, 224)
    indices: Mapping[str, NDArray[np.int_]]
    canvas: Canvas | None
    attention: Mapping[str, float]

    def against(self, truth: Volume, mask: NDArray[np.bool_]) -> Similarity:
        """How like the truth it is, inside a mask on the truth's grid; of slices the mean over orientations."""
        if self.volume is not None:
            return compared(self.volume, truth.data, mask)
        assert self.canvas is not None
        right, inside = self.canvas.place(truth), self.canvas.place_mask(truth.with_data(mask))
        found = [
            compared_slices(image, cut(right, where)[self.indices[where]], cut(inside, where)[self.indices[where]])
            for where, image in self.slices.items()
        ]
        return Similarity(float(np.mean([f.psnr_db for f in found])), float(np.mean([f.ssim for f in found])))


def compared_slices(image: Array, truth: Array, mask: NDArray[np.bool_]) -> Similarity:
    """PSNR of all slices together and the mean of SSIM in two dimensions, for slices (slices, rows, columns)."""
    one, other = (np.where(mask, scaled(whole, mask), 0).astype(np.float32) for whole in (image, truth))
    alike = [ssim(a, b, m) for a, b, m in zip(one, other, mask, strict=True) if m.any()]
    return Similarity(psnr_db(one, other, mask), float(np.mean(alike)))


def prepared(sources: Mapping[str, Volume], on: Stage) -> dict[str, Prepared]:
    """The sources as the networks see them."""
    rim = Rim({})
    canvas = fit_images(sources, rim, on.settings)
    variant = on.checkpoint.model.config.variant
    return {name: prepare(name, volume, canvas, rim, on.settings, variant) for name, volume in sources.items()}


def made(
    sources: Mapping[str, Volume], targets: Sequence[Target], on: Stage, ready: Mapping[str, Prepared] | None = None
) -> list[Made]:
    """The sources harmonized to every target, by the engine, or by its networks for one slice in ``on.every``.

    ``ready`` spares preparing again what was ``prepared`` before; whole volumes go through the engine in any case.
    """
    if on.every == 1:
        found = harmonize(sources, targets, on.checkpoint, on.fusion, on.settings)
        return [Made(f.image.data, {}, {}, None, {c: s.attention for c, s in f.sources.items()}) for f in found]
    device, canvas = choose_device(on.settings.device), fit_images(sources, Rim({}), on.settings)
    seen = ready or prepared(sources, on)
    session = Session(seen, union(one.votes for one in seen.values()))
    draws = [Draw(target, 0) for target in targets]
    with inference(on.settings.precision, on.settings.threads):
        model = made_lean(on.checkpoint.model, device)
        Stream(session, model, on.settings, device, Batches(on.settings.batch_size, device)).run(draws, on.every)
    return [_taken(draw, session, canvas, on) for draw in draws]


def _taken(draw: Draw, session: Session, canvas: Canvas, on: Stage) -> Made:
    indices = {o: np.flatnonzero(draw.attention[i].sum(axis=1)) for i, o in enumerate(ORIENTATIONS)}

    def together(volumes: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate([cut(volumes[o], o)[indices[o]] for o in ORIENTATIONS])

    def everywhere(volume: NDArray[Any]) -> NDArray[Any]:
        return together(dict.fromkeys(ORIENTATIONS, volume))

    seen = {
        name: Prepared(everywhere(one.values), everywhere(one.votes), everywhere(one.covered), one.scale)
        for name, one in session.sources.items()
    }
    weight = consistency_weight(on.settings, on.checkpoint.model.config, seen, draw.target.contrast)
    image = consistent(together(draw.stacks), seen, everywhere(session.mask), weight, on.settings.threads)
    ends = np.cumsum([len(indices[o]) for o in ORIENTATIONS])[:-1]
    slices = dict(zip(ORIENTATIONS, np.split(image, ends), strict=True))
    attention = draw.attention.sum(axis=(0, 1))
    shares = (attention / attention.sum()).tolist()
    return Made(None, slices, indices, canvas, dict(zip(session.sources, shares, strict=True)))


def codes(volume: Volume, on: Stage) -> Array:
    """Theta and eta of the coronal slices that speak for an image, (slices, 4)."""

    rim = Rim({})
    canvas = fit_images({"image": volume}, rim, on.settings)
    ready = prepare("image", volume, canvas, rim, on.settings, on.checkpoint.model.config.variant)
    chosen = representative(nonempty(cut(ready.votes, "coronal")))
    x = torch.from_numpy(np.ascontiguousarray(cut(ready.values, "coronal")[chosen]))[:, None]
    device = choose_device(on.settings.device)
    with inference(on.settings.precision, on.settings.threads):
        model = made_lean(on.checkpoint.model, device)
        parts = [(model.theta_encoder(part.to(device))[0], model.eta_encoder(part.to(device))) for part in x.split(8)]
    out: Array = torch.cat([torch.cat(part, dim=1).float().cpu() for part in parts]).numpy()
    return out


def head_of(truth: Volume) -> NDArray[np.bool_]:
    """The truth's head mask."""
    return head_mask(truth.data)


def kept(out: Path) -> list[dict[str, Any]]:
    """What a script has written before."""
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


def keep(out: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add rows to what is kept."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
