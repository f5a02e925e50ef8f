"""One job of the process that runs the networks: from JOB.json to result.json."""

import errno
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from haca3_bids.bids.atomic import write_json
from haca3_bids.checkpoints.formats import Checkpoint, load_checkpoint, load_fusion
from haca3_bids.checkpoints.registry import MEDIAN, check_fusion, fusion_for, resolve
from haca3_bids.digest import file_sha256
from haca3_bids.errors import BadInput, Haca3Error, InputOutputFailure, UsageError
from haca3_bids.harmonization.engine import Harmonized, encode_targets, harmonize
from haca3_bids.harmonization.super_resolution import SLOPPY_STEPS, STEPS, super_resolved
from haca3_bids.memory import peak_memory_bytes
from haca3_bids.networks.fusion import FusionNet
from haca3_bids.networks.haca3 import Haca3
from haca3_bids.option import labels
from haca3_bids.records.engine import (
    EncodeJob,
    EncodeResult,
    EngineResult,
    HarmonizedImage,
    HarmonizeJob,
    ReferenceCodes,
    SuperResolveJob,
    SuperResolveResult,
    WeightsUsed,
)
from haca3_bids.records.files import Refusal, from_json
from haca3_bids.records.target import Target
from haca3_bids.settings import WHITE_MATTER_PEAK, HarmonizationSettings
from haca3_bids.volumes.volume import Volume, load_volume, save_volume

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Networks:
    """The networks of the settings, and their files."""

    checkpoint: Checkpoint
    fusion: FusionNet | None
    weights: WeightsUsed
    fusion_weights: WeightsUsed | None = None


@dataclass(frozen=True)
class Header:
    """The fields that all jobs have."""

    task: str
    out_dir: str


def run_job(file: Path) -> int:
    """Run the job in a file, write ``result.json`` to its ``out_dir``, and return the exit code."""
    text = file.read_bytes()
    header = from_json(text, Header)
    out_dir = Path(header.out_dir)
    kind, work = TASKS[header.task]
    result: object
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        result, code = work(from_json(text, kind), out_dir), 0
    except Haca3Error as error:
        result, code = Refusal(error.failure()), error.exit_code
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES):
            raise
        failure = InputOutputFailure(f"Writing to {out_dir} failed ({error.strerror}).", "Is the disk full?")
        result, code = Refusal(failure.failure()), failure.exit_code
    write_json(out_dir / "result.json", result)
    return code


def harmonize_job(job: HarmonizeJob, out_dir: Path) -> EngineResult:
    """Harmonize files on one grid: images are written to ``out_dir``, facts about them to the result."""
    start, settings = time.monotonic(), job.settings
    names = [file_name(target) for target in job.targets]
    if len(set(names)) < len(names):
        raise UsageError("Two targets have the same name and contrast.", "Name them: --target NAME=VALUE.")
    networks = load_networks(settings)
    checkpoint = networks.checkpoint
    images = harmonize(
        _loaded(job.sources),
        job.targets,
        checkpoint,
        networks.fusion,
        settings,
        coverage=_masks(job.coverage),
        white_matter=load_mask(job.white_matter),
        head_mask=load_mask(job.head_mask),
        content=load_mask(job.content),
        brain=load_mask(job.brain),
        white=job.white,
        protocols=job.protocols,
        extras=job.extras,
    )
    after = reached(images, checkpoint, settings)
    written = tuple(
        _measured(write_image(image, out_dir, name, job.extras), after.get(image.record.target.key))
        for image, name in zip(images, names, strict=True)
    )
    known = {name: ReferenceCodes(one.theta, one.eta, one.clean_eta) for name, one in checkpoint.references.items()}
    return replace(facts(images[0], networks, settings, start), images=written, references=known)


def encode_job(job: EncodeJob, out_dir: Path) -> EncodeResult:  # noqa: ARG001
    """Targets from images, one per contrast."""
    checkpoint = load_networks(job.settings, with_fusion=False).checkpoint
    targets = encode_targets(
        _loaded(job.images),
        checkpoint,
        job.settings,
        name=job.name,
        origin=job.origin,
        coverage=_masks(job.coverage),
        white=job.white,
    )
    return EncodeResult(tuple(targets))


def super_resolve_job(job: SuperResolveJob, out_dir: Path) -> SuperResolveResult:
    """One scan with thin slices reconstructed from thick ones."""
    torch.set_num_threads(max(1, job.threads))
    steps = SLOPPY_STEPS if job.sloppy else STEPS
    save_volume(super_resolved(load_volume(job.image), job.axis, job.seed, steps), out_dir / "thin.nii.gz")
    return SuperResolveResult("thin.nii.gz")


TASKS: Mapping[str, tuple[type, Callable[[Any, Path], object]]] = {
    "harmonize": (HarmonizeJob, harmonize_job),
    "encode": (EncodeJob, encode_job),
    "super_resolve": (SuperResolveJob, super_resolve_job),
}


def load_networks(settings: HarmonizationSettings, with_fusion: bool = True) -> Networks:
    """The networks of the settings."""
    checkpoint = load_checkpoint(resolve(settings.weights), settings.variant)
    weights = WeightsUsed(checkpoint.name, checkpoint.sha256, checkpoint.variant)
    wanted = fusion_for(settings.weights, settings.fusion_weights)
    if not isinstance(checkpoint.model, Haca3):
        check_fusion(checkpoint.name, wanted)
    if not with_fusion or not isinstance(checkpoint.model, Haca3):
        return Networks(checkpoint, None, weights)
    if wanted == MEDIAN:
        return Networks(checkpoint, None, weights, WeightsUsed(MEDIAN))
    path = resolve(wanted, "fusion")
    name = wanted if path != Path(wanted) else path.stem
    return Networks(checkpoint, load_fusion(path), weights, WeightsUsed(name, file_sha256(path)))


def write_image(image: Harmonized, out_dir: Path, name: str, extras: Sequence[str]) -> HarmonizedImage:
    """Write one harmonized image and its additional images; the files in the answer are relative to ``out_dir``."""
    files: dict[str, tuple[Volume, type[np.generic]]] = {"image": (image.image, np.float32)}
    if image.std is not None and "std" in extras:
        files["std"] = (image.std, np.float32)
    if image.beta is not None:
        files["beta"] = (image.beta, np.uint8)
    files |= {f"attention{source}": (weights, np.float32) for source, weights in image.attention_maps.items()}
    paths = {part: f"{name}.nii.gz" if part == "image" else f"{name}_{part}.nii.gz" for part in files}
    for part, (volume, dtype) in files.items():
        save_volume(volume, out_dir / paths[part], in_template=True, dtype=dtype)
    return replace(
        image.record,
        file=paths["image"],
        std=paths.get("std"),
        beta=paths.get("beta"),
        attention_maps={source: paths[f"attention{source}"] for source in image.attention_maps},
    )


def reached(images: Sequence[Harmonized], checkpoint: Checkpoint, settings: HarmonizationSettings) -> dict[str, Target]:
    """Theta and eta of the harmonized images by key, without images that cannot be encoded.

    The images of one target are measured together, like those of a session. Their background is already removed.
    """
    found: dict[str, Target] = {}
    settings = replace(settings, background="none")
    for name in dict.fromkeys(image.record.target.name for image in images):
        own = {image.record.target.contrast: image for image in images if image.record.target.name == name}
        white = WHITE_MATTER_PEAK if all(image.record.white_matter_peak for image in own.values()) else None
        volumes = {contrast: image.image for contrast, image in own.items()}
        try:
            measured = encode_targets(volumes, checkpoint, settings, name=name, white=white)
            found |= {one.key: one for one in measured}
        except BadInput as error:
            logger.warning("The harmonized %s cannot be encoded: %s", ", ".join(own), error.sentence)
    return found


def _measured(written: HarmonizedImage, after: Target | None) -> HarmonizedImage:
    return written if after is None else replace(written, theta_after=after.theta, eta_after=after.eta)


def facts(image: Harmonized, networks: Networks, settings: HarmonizationSettings, start: float) -> EngineResult:
    """The record of a result, without images: weights, reported settings, time and memory."""
    reported = {name: getattr(settings, name) for name in labels(HarmonizationSettings)}
    used = {"device": image.device, "precision": image.precision, "beta": image.anatomy}
    return EngineResult(
        weights=networks.weights,
        fusion=networks.fusion_weights,
        samples=settings.samples if settings.beta == "sample" else 1,
        like_authors=settings.like_authors,
        background=settings.background,
        seconds=round(time.monotonic() - start, 1),
        peak_memory_bytes=peak_memory_bytes(),
        **reported | used,
    )


def file_name(target: Target) -> str:
    """The beginning of the file names of a target."""
    return f"desc-{target.key}"


def load_mask(path: str | None) -> Volume | None:
    """The mask in a file; None if there is no file."""
    return None if path is None else load_volume(path, may_be_constant=True)


def _loaded(files: Mapping[str, str]) -> dict[str, Volume]:
    return {contrast: load_volume(path) for contrast, path in files.items()}


def _masks(files: Mapping[str, str]) -> dict[str, Volume]:
    return {contrast: load_volume(path, may_be_constant=True) for contrast, path in files.items()}
