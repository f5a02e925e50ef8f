"""Harmonize the images of a session to one or several targets."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar, get_args

import numpy as np
import torch

from haca3_bids.checkpoints.formats import Checkpoint
from haca3_bids.errors import BadInput, UsageError
from haca3_bids.harmonization.device import choose_device, choose_precision, out_of_memory
from haca3_bids.harmonization.method import Made, Method, Session
from haca3_bids.harmonization.prepare import Prepared, Rim, fit_images, grid_in_words, prepare
from haca3_bids.harmonization.slicewise import Slicewise
from haca3_bids.harmonization.target import Target
from haca3_bids.harmonization.voxelwise import Voxelwise
from haca3_bids.networks.fusion import FusionNet
from haca3_bids.networks.haca3 import Haca3
from haca3_bids.records.engine import HarmonizedImage, SourceReport
from haca3_bids.settings import CONTRASTS, WHITE_MATTER_PEAK, Extra, HarmonizationSettings
from haca3_bids.volumes.canvas import Canvas
from haca3_bids.volumes.volume import Volume

logger = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Harmonized:
    """One harmonized image on the grid of the sources, and its record, which has no files as yet."""

    record: HarmonizedImage
    image: Volume
    std: Volume | None  # over samples, if anatomy was drawn at random
    device: str
    precision: str
    anatomy: str  # how beta was taken: "argmax", "sample" or "soft"
    attention_maps: Mapping[str, Volume] = field(default_factory=dict)
    beta: Volume | None = None  # class + 1, 0 outside

    @property
    def sources(self) -> Mapping[str, SourceReport]:
        """The reports on the sources, by contrast."""
        return self.record.sources


@dataclass(frozen=True)
class _Task:
    """The checked arguments of one call of ``harmonize``."""

    sources: Mapping[str, Prepared]
    canvas: Canvas
    targets: Sequence[Target]
    checkpoint: Checkpoint
    fusion: FusionNet | None
    settings: HarmonizationSettings
    rim: Rim
    white_matter: Volume | None
    white: float | None
    protocols: Mapping[str, Sequence[float]]
    extras: Collection[str]


def harmonize(
    sources: Mapping[str, Volume],
    targets: Sequence[Target],
    checkpoint: Checkpoint,
    fusion: FusionNet | None,
    settings: HarmonizationSettings,
    *,
    coverage: Mapping[str, Volume] | None = None,
    white_matter: Volume | None = None,
    head_mask: Volume | None = None,
    content: Volume | None = None,
    brain: Volume | None = None,
    white: float | None = None,
    protocols: Mapping[str, Sequence[float]] | None = None,
    extras: Collection[str] = (),
) -> list[Harmonized]:
    """Harmonize ``sources`` (contrast -> image on one grid) to each target; BadInput if the grids differ.

    All masks lie on the same grid: ``coverage`` (field of view of each source), ``white_matter`` (its peak is scaled to
    1000), ``head_mask`` (the output is zero outside), ``content`` (a grid larger than the canvas is cropped about it)
    and ``brain`` (attention is averaged over it). ``fusion`` None is the voxelwise median. ``white`` is the known
    intensity of white matter in all sources, ``protocols`` the tissue intensities expected from the protocol of a
    source. ``extras`` may contain "attention" and "beta".
    """
    masks = {"white matter": white_matter, "head mask": head_mask, "content": content, "brain": brain}
    seen = {f"the coverage of {name}": mask for name, mask in (coverage or {}).items()}
    _check(sources, targets, checkpoint, {**seen, **masks})
    _check_names(sources, {*(coverage or {}), *(protocols or {})}, extras)
    ordered = sources if settings.like_authors else {c: sources[c] for c in sorted(sources, key=CONTRASTS.index)}
    rim = Rim(coverage or {}, head_mask, content, brain)
    canvas, prepared = _prepared(ordered, checkpoint, rim, settings)
    rim = replace(rim, coverage={})
    del sources, ordered, coverage, masks  # an eighth of the memory, where the caller does not hold them
    task = _Task(
        prepared, canvas, targets, checkpoint, fusion, settings, rim, white_matter, white, protocols or {}, extras
    )
    return _on_device(partial(_run, task), settings)


def _on_device(work: Callable[[torch.device], T], settings: HarmonizationSettings) -> T:
    """The result of ``work`` on the chosen device, or on the CPU if a GPU chosen by "auto" has too little memory."""
    device = choose_device(settings.device)
    try:
        return work(device)
    except torch.OutOfMemoryError as error:
        if settings.device != "auto":
            raise out_of_memory(device) from error
        logger.warning("GPU out of memory even for single slices: continuing on the CPU.")
    return work(torch.device("cpu"))


def method_for(
    checkpoint: Checkpoint,
    fusion: FusionNet | None,
    settings: HarmonizationSettings,
    device: torch.device,
    white: float | None = None,
    protocols: Mapping[str, Sequence[float]] | None = None,
) -> Method:
    """The engine for the networks of a checkpoint."""
    settings = replace(settings, precision=choose_precision(settings.precision, device))
    if isinstance(checkpoint.model, Haca3):
        return Slicewise(checkpoint.model, fusion, settings, device)
    if settings.beta == "sample":
        raise UsageError(f"--beta sample is not possible with {checkpoint.name}.", "Only HACA3 weights draw anatomy.")
    return Voxelwise(checkpoint.model, checkpoint.priors, settings, device, white, protocols)


def encode_targets(
    images: Mapping[str, Volume],
    checkpoint: Checkpoint,
    settings: HarmonizationSettings,
    *,
    name: str = "",
    origin: str = "an image",
    coverage: Mapping[str, Volume] | None = None,
    white: float | None = None,
) -> list[Target]:
    """Targets from the images of one session (contrast -> image): theta, eta and intensity scale of each.

    They must lie on one grid (BadInput otherwise), which may differ from the grid of the sources. Like preprocessed
    images, they should be upright, with voxels of about 1 mm; this is not checked. The mixture model measures them
    together.
    """
    if not images:
        raise UsageError("At least one image is needed for a target.")
    _check_grids(images, coverage or {})
    _, prepared = _prepared(images, checkpoint, Rim(coverage or {}, None), settings)

    def encoded(device: torch.device) -> dict[str, SourceReport]:
        return method_for(checkpoint, None, settings, device, white).session_codes(prepared)

    codes = _on_device(encoded, settings)
    return [Target(name, contrast, one.theta, one.eta, one.scale, origin) for contrast, one in codes.items()]


def encode_target(
    volume: Volume,
    contrast: str,
    checkpoint: Checkpoint,
    settings: HarmonizationSettings,
    *,
    name: str = "",
    origin: str = "an image",
    white: float | None = None,
) -> Target:
    """The target from a single image; see ``encode_targets``."""
    (target,) = encode_targets({contrast: volume}, checkpoint, settings, name=name, origin=origin, white=white)
    return target


def _check(
    sources: Mapping[str, Volume], targets: Sequence[Target], checkpoint: Checkpoint, masks: Mapping[str, Volume | None]
) -> None:
    if not sources or not targets:
        raise UsageError("At least one source and one target are needed.")
    _check_grids(sources, masks)
    needed = checkpoint.model.config.theta_dim
    for target in targets:
        if len(target.theta) != needed:
            called = " ".join(["the target", *filter(None, [target.name or target.contrast])])
            raise UsageError(
                f"Theta of {called} has {len(target.theta)} numbers; the weights {checkpoint.name} need {needed}.",
                "Give an image or a contrast as target; numbers are only valid for the weights they were made with.",
            )


def _check_names(sources: Collection[str], belonging: Collection[str], extras: Collection[str]) -> None:
    """UsageError for a name that would be ignored: a contrast, what belongs to no source, an additional image."""
    for wrong, known in (
        ({*sources} - {*CONTRASTS}, CONTRASTS),
        ({*belonging} - {*sources}, sources),
        ({*extras} - {*get_args(Extra)}, get_args(Extra)),
    ):
        if wrong:
            raise UsageError(f"'{min(wrong)}' is not one of {', '.join(known)}.", "Correct its name, or leave it out.")


def _check_grids(images: Mapping[str, Volume], masks: Mapping[str, Volume | None]) -> None:
    first, grid = next(iter(images.items()))
    for name, volume in [*images.items(), *masks.items()]:
        if volume is not None and not volume.has_grid_of(grid):
            raise BadInput(
                f"{name} ({grid_in_words(volume)}) does not share the grid of {first} ({grid_in_words(grid)}).",
                "All images of a session must lie on one grid: register and resample them first (haca3-bids does).",
            )


def _prepared(
    images: Mapping[str, Volume], checkpoint: Checkpoint, rim: Rim, settings: HarmonizationSettings
) -> tuple[Canvas, dict[str, Prepared]]:
    canvas = fit_images(images, rim, settings)
    seen_from = checkpoint.model.config.seen_from
    prepared = {name: prepare(name, volume, canvas, rim, settings, seen_from) for name, volume in images.items()}
    for name, image in prepared.items():
        if not image.votes.any():
            raise BadInput(
                f"{name} shows nothing of the head inside its field of view.",
                "Leave it out, or inspect it together with the masks that were given.",
            )
    return canvas, prepared


def _run(task: _Task, device: torch.device) -> list[Harmonized]:
    method = method_for(task.checkpoint, task.fusion, task.settings, device, task.white, task.protocols)
    mask = method.mask(task.sources)
    if not mask.any():
        raise BadInput("No source shows a head: there is nothing to harmonize.", "Inspect the images.")
    session = Session(task.sources, mask, None if task.rim.brain is None else task.canvas.place_mask(task.rim.brain))
    made = method.run(session, task.targets, task.extras)
    return [_finished(one, session, method, task, device) for one in made]


def _finished(made: Made, session: Session, method: Method, task: _Task, device: torch.device) -> Harmonized:
    image = task.canvas.restore(made.image)
    peak, scale = _output_scale(image, made.target, task)
    record = HarmonizedImage(
        made.target,
        made.sources,
        scale=scale,
        white_matter_peak=peak,
        cut_share=task.canvas.cut_share,
        covered_share=float(session.covered[task.canvas.box].mean()),
        brain_without_source=session.brain_without_source,
        not_finite=int(np.count_nonzero(~np.isfinite(image.data))),
    )
    return Harmonized(
        record,
        image=_written(image, scale, task),
        std=None if made.std is None else _written(task.canvas.restore(made.std), scale, task),
        device=f"{device} ({method.compiler})" if method.compiler else str(device),
        precision=method.settings.precision,
        anatomy=method.anatomy,
        attention_maps={name: task.canvas.restore(part) for name, part in made.attention_maps.items()},
        beta=None if made.beta is None else task.canvas.restore_labels(made.beta),
    )


def _output_scale(image: Volume, target: Target, task: _Task) -> tuple[float | None, float]:
    """White-matter peak of the image at the target's scale, and the factor that scales the image's peak to 1000."""
    if task.white_matter is None or task.settings.like_authors:
        return None, target.scale
    from haca3_bids.intensity.white_matter import white_matter_peak

    name = target.name or target.contrast
    peak = float(white_matter_peak(image.data * np.float32(target.scale), task.white_matter.data > 0.5))
    if not (np.isfinite(peak) and peak > 0):
        raise BadInput(
            f"The harmonized image has no white-matter peak (found {peak:g}) for target {name}.",
            "Inspect the preprocessed images: are they aligned with the template?",
        )
    return peak, target.scale * WHITE_MATTER_PEAK / peak


def _written(image: Volume, scale: float, task: _Task) -> Volume:
    data = image.data * np.float32(scale)
    if task.rim.head is not None and not task.settings.like_authors:
        data[task.rim.head.data <= 0.5] = 0
    return image.with_data(data)
