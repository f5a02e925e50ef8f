"""One job of the process that runs the networks: from JOB.json to result.json."""

from __future__ import annotations

import errno
import json
import logging
import re
import resource
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from haca3_bids.checkpoints.formats import Checkpoint, load_checkpoint, load_fusion
from haca3_bids.checkpoints.registry import MEDIAN, fusion_for, resolve
from haca3_bids.digest import file_sha256
from haca3_bids.errors import BadInput, Haca3Error, InputOutputFailure, UsageError
from haca3_bids.harmonization.engine import EXTRAS, Harmonized, encode_target, harmonize
from haca3_bids.harmonization.super_resolution import SLOPPY_STEPS, STEPS, super_resolved
from haca3_bids.harmonization.target import Target
from haca3_bids.networks.fusion import FusionNet
from haca3_bids.networks.mixture import Mixture
from haca3_bids.option import labels
from haca3_bids.partial import partial_file
from haca3_bids.settings import WHITE_MATTER_PEAK, HarmonizationSettings
from haca3_bids.volumes.volume import Volume, load_volume, save_volume

logger = logging.getLogger(__name__)

Json = dict[str, Any]


def run_job(file: Path) -> int:
    """Do what the file asks, leave ``result.json`` in its ``out_dir``, and return the exit code."""
    job = json.loads(file.read_text())
    out_dir = Path(job["out_dir"])
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        result, code = TASKS[job["task"]](job, out_dir), 0
    except Haca3Error as error:
        result, code = _described(error), error.exit_code
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES):
            raise
        failure = InputOutputFailure(f"Writing to {out_dir} failed ({error.strerror}).", "Is the disk full?")
        result, code = _described(failure), failure.exit_code
    write_json(result, out_dir / "result.json")
    return code


def harmonize_job(job: Json, out_dir: Path) -> Json:
    """Harmonize files that share a grid: the images go to ``out_dir``, what is known of them into the result."""
    start = time.monotonic()
    settings = HarmonizationSettings(**job["settings"])
    targets = [Target.from_json(fields) for fields in job["targets"]]
    names = [file_name(target) for target in targets]
    if len(set(names)) < len(names):
        raise UsageError("Two targets have one name and one contrast.", "Name them: --target NAME=VALUE.")
    extras = _checked_extras(job.get("extras", ()))
    checkpoint, fusion, weights = load_networks(settings)
    images = harmonize(
        _loaded(job["sources"]),
        targets,
        checkpoint,
        fusion,
        settings,
        coverage=_masks(job.get("coverage") or {}),
        white_matter=load_mask(job.get("white_matter")),
        head_mask=load_mask(job.get("head_mask")),
        content=load_mask(job.get("content")),
        brain=load_mask(job.get("brain")),
        white=job.get("white"),
        protocols=job.get("protocols"),
        extras=extras,
    )
    written = [
        write_image(image, out_dir, name, extras, job.get("in_template", True)) | reached(image, checkpoint, settings)
        for image, name in zip(images, names, strict=True)
    ]
    references = {
        contrast: {"theta": list(one.theta), "eta": list(one.eta), "clean_eta": list(one.clean_eta)}
        for contrast, one in checkpoint.references.items()
    }
    return {"images": written, "references": references} | weights | facts(images[0], settings, start)


def encode_job(job: Json, out_dir: Path) -> Json:  # noqa: ARG001
    """The targets that images set, one for each contrast."""
    settings = HarmonizationSettings(**job["settings"])
    checkpoint, _, weights = load_networks(settings, with_fusion=False)
    coverage, head = _masks(job.get("coverage") or {}), load_mask(job.get("head_mask"))
    targets = [
        encode_target(
            load_volume(path),
            contrast,
            checkpoint,
            settings,
            name=job["name"],
            origin=job.get("origin", "an image"),
            coverage=coverage.get(contrast),
            head_mask=head,
            white=job.get("white"),
        )
        for contrast, path in job["images"].items()
    ]
    return {"targets": [target.to_json() for target in targets]} | weights


def super_resolve_job(job: Json, out_dir: Path) -> Json:
    """One scan with thin slices in place of thick ones."""
    torch.set_num_threads(max(1, int(job["threads"])))
    steps = SLOPPY_STEPS if job["sloppy"] else STEPS
    volume = super_resolved(load_volume(job["image"]), int(job["axis"]), int(job["seed"]), steps)
    save_volume(volume, out_dir / "thin.nii.gz")
    return {"file": "thin.nii.gz"}


TASKS = {"harmonize": harmonize_job, "encode": encode_job, "super_resolve": super_resolve_job}


def load_networks(
    settings: HarmonizationSettings, with_fusion: bool = True
) -> tuple[Checkpoint, FusionNet | None, Json]:
    """The networks that the settings name, and what the sidecar says of their files."""
    checkpoint = load_checkpoint(resolve(settings.weights), settings.variant)
    variant = checkpoint.variant
    weights: Json = {"weights": {"name": checkpoint.name, "sha256": checkpoint.sha256, "variant": variant}}
    if not with_fusion or isinstance(checkpoint.model, Mixture):
        return checkpoint, None, weights
    wanted = fusion_for(settings.weights, settings.fusion_weights)
    if wanted == MEDIAN:
        return checkpoint, None, weights | {"fusion": {"name": MEDIAN, "sha256": None}}
    path = resolve(wanted, "fusion")
    name = wanted if path != Path(wanted) else path.stem
    return checkpoint, load_fusion(path), weights | {"fusion": {"name": name, "sha256": file_sha256(path)}}


def write_image(image: Harmonized, out_dir: Path, name: str, extras: list[str], in_template: bool) -> Json:
    """Write one harmonized image and what goes with it; the files in the answer are relative to ``out_dir``."""
    files: dict[str, tuple[Volume, type[np.generic]]] = {"image": (image.image, np.float32)}
    if image.std is not None and "std" in extras:
        files["std"] = (image.std, np.float32)
    if image.beta is not None:
        files["beta"] = (image.beta, np.uint8)
    files |= {f"attention{source}": (weights, np.float32) for source, weights in image.attention_maps.items()}
    paths = {part: f"{name}.nii.gz" if part == "image" else f"{name}_{part}.nii.gz" for part in files}
    for part, (volume, dtype) in files.items():
        save_volume(volume, out_dir / paths[part], in_template=in_template, dtype=dtype)
    return described(image) | {
        "file": paths["image"],
        "std": paths.get("std"),
        "beta": paths.get("beta"),
        "attention_maps": {source: paths[f"attention{source}"] for source in image.attention_maps},
    }


def reached(image: Harmonized, checkpoint: Checkpoint, settings: HarmonizationSettings) -> Json:
    """Theta and eta of the harmonized image itself; empty where it shows nothing to encode."""
    try:
        white = WHITE_MATTER_PEAK if image.white_matter_peak else None
        found = encode_target(image.image, image.target.contrast, checkpoint, settings, white=white)
    except BadInput as error:
        logger.warning("The harmonized %s cannot be encoded: %s", image.target.contrast, error.sentence)
        return {}
    return {"theta_after": list(found.theta), "eta_after": list(found.eta)}


def described(image: Harmonized) -> Json:
    """What is known of one harmonized image, as JSON values."""
    return {
        "target": image.target.to_json(),
        "scale": image.scale,
        "white_matter_peak": image.white_matter_peak,
        "cut_share": image.cut_share,
        "covered_share": image.covered_share,
        "brain_without_source": image.brain_without_source,
        "sources": {source: asdict(report) for source, report in image.sources.items()},
    }


def facts(image: Harmonized, settings: HarmonizationSettings, start: float) -> Json:
    """How the result came about: the settings that are reported, what was used of them, time and memory."""
    return {name: getattr(settings, name) for name in labels(HarmonizationSettings)} | {
        "device": image.device,
        "precision": image.precision,
        "beta": image.anatomy,
        "samples": settings.samples if settings.beta == "sample" else 1,
        "like_authors": settings.like_authors,
        "background": settings.background,
        "seconds": round(time.monotonic() - start, 1),
        "peak_memory_bytes": peak_memory_bytes(),
    }


def file_name(target: Target) -> str:
    """What the files of a target begin with."""
    return f"desc-haca3{target.name}_{target.contrast}"


def load_mask(path: str | None) -> Volume | None:
    """The mask in a file, or None where no file is named."""
    return None if path is None else load_volume(path, may_be_constant=True)


def peak_memory_bytes() -> int:
    """The most memory this process has held; a parent's memory before exec does not count (Linux)."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        found = None
    if found:
        return int(found[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def write_json(content: Mapping[str, Any], path: Path) -> None:
    """Write JSON that appears whole or not at all; what is not a finite number becomes null."""
    with partial_file(path) as partial:
        partial.write_text(json.dumps(_finite(content), indent=2, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def _loaded(files: Mapping[str, str]) -> dict[str, Volume]:
    return {contrast: load_volume(path) for contrast, path in files.items()}


def _masks(files: Mapping[str, str]) -> dict[str, Volume]:
    return {contrast: load_volume(path, may_be_constant=True) for contrast, path in files.items()}


def _checked_extras(extras: Any) -> list[str]:
    unknown = sorted(set(extras) - set(EXTRAS))
    if unknown:
        raise UsageError(f"{', '.join(unknown)} cannot be written.", f"Choose among {', '.join(EXTRAS)}.")
    return list(extras)


def _described(error: Haca3Error) -> Json:
    return {"error": {"class": type(error).__name__, "sentence": error.sentence, "hint": error.hint}}
