"""Harmonize the images of a session to one or several targets."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from haca3_bids.checkpoints.formats import Checkpoint
from haca3_bids.errors import BadInput, UsageError
from haca3_bids.harmonization.consistency import consistency_weight, consistent
from haca3_bids.harmonization.device import Batches, choose_device, inference, made_lean, out_of_memory, reused_memory
from haca3_bids.harmonization.drawn import DrawnImage
from haca3_bids.harmonization.fusion import SLAB, fuse_in_slabs, median
from haca3_bids.harmonization.prepare import Rim, fit_images, grid_in_words, prepare
from haca3_bids.harmonization.stream import Draw, Session, Stream, union
from haca3_bids.harmonization.target import Pair, Target
from haca3_bids.intensity.percentile import Array, Mask, scaled, upper_percentile
from haca3_bids.networks.fusion import FusionNet
from haca3_bids.settings import BETAS, CONTRASTS, WHITE_MATTER_PEAK, HarmonizationSettings
from haca3_bids.volumes.canvas import Canvas, authors_window
from haca3_bids.volumes.slices import ORIENTATIONS
from haca3_bids.volumes.volume import Volume

logger = logging.getLogger(__name__)

DRAWS_AT_ONCE = 3  # images in the making for one encoding: 135 MB each
EXTRAS = ("beta", "attention", "std")


@dataclass(frozen=True)
class SourceReport:
    """What the networks said of one source."""

    theta: Pair  # of the coronal slices that represent an image
    eta: Pair
    attention: float  # mean over the brain, or over all voxels that were harmonized where that is not known
    scale: float  # its 95th percentile
    brain_covered: float | None = None  # share of the brain in its field of view


@dataclass(frozen=True)
class Harmonized:
    """One harmonized image on the grid of the sources, and how it came about."""

    target: Target
    image: Volume
    std: Volume | None  # over samples, where anatomy was drawn at random
    sources: Mapping[str, SourceReport]
    scale: float  # by which the fused network output was multiplied
    white_matter_peak: float | None  # after scaling by the target's percentile, before it was brought to 1000
    cut_share: float  # of the grid, outside the canvas
    covered_share: float  # of the grid, inside some source's field of view
    device: str
    precision: str
    anatomy: str  # how beta was taken: "argmax", "soft" or "sample"
    attention_maps: Mapping[str, Volume] = field(default_factory=dict)
    beta: Volume | None = None  # level + 1 of the axial slices, 0 outside
    residual: float = 0.0  # weight of the residual of the source that has the target's contrast
    consistency: float = 0.0  # weight of the mean over voxels alike in all sources
    brain_without_source: float | None = None  # share of the brain that stays empty


@dataclass(frozen=True)
class _Task:
    """All that one run needs, checked."""

    session: Session
    canvas: Canvas
    targets: Sequence[Target]
    checkpoint: Checkpoint
    fusion: FusionNet | None
    settings: HarmonizationSettings
    rim: Rim
    white_matter: Volume | None
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
    extras: Collection[str] = (),
) -> list[Harmonized]:
    """One image for each target, from ``sources`` (contrast -> image) that share one grid; BadInput otherwise.

    ``coverage`` holds the field of view of a source, ``white_matter`` the mask in which the peak is brought to 1000,
    ``head_mask`` the only place where anything is written; all are masks on the same grid. ``fusion`` None stands
    for the voxelwise median. A grid larger than the networks' canvas is cropped about ``content``. What
    each source contributed is told of the ``brain``. ``extras`` may name "attention" and "beta".
    """
    masks = {"white matter": white_matter, "head mask": head_mask, "content": content, "brain": brain}
    _check(sources, targets, settings, {**(coverage or {}), **masks})
    ordered = sources if settings.like_authors else {c: sources[c] for c in sorted(sources, key=_rank)}
    rim = Rim(coverage or {}, head_mask, content, brain)
    device = choose_device(settings.device)
    canvas = fit_images(ordered, rim, settings)
    session = _session(ordered, canvas, rim, settings, checkpoint.model.config.variant)
    task = _Task(session, canvas, targets, checkpoint, fusion, settings, rim, white_matter, extras)
    try:
        return _run(task, device)
    except torch.OutOfMemoryError as error:
        if settings.device != "auto":
            raise out_of_memory(device) from error
        logger.warning("GPU out of memory even for single slices: going on with the CPU.")
    return _run(task, torch.device("cpu"))


def _check(
    sources: Mapping[str, Volume],
    targets: Sequence[Target],
    settings: HarmonizationSettings,
    masks: Mapping[str, Volume | None],
) -> None:
    if not sources or not targets:
        raise UsageError("At least one source and one target are needed.")
    if settings.beta not in BETAS or settings.samples < 1:
        raise UsageError(
            f"beta {settings.beta} with {settings.samples} samples is not possible.",
            f"Choose one of {', '.join(BETAS)}, with one sample or more.",
        )
    first, grid = next(iter(sources.items()))
    for name, volume in [*sources.items(), *masks.items()]:
        if volume is not None and not volume.has_grid_of(grid):
            raise BadInput(
                f"{name} ({grid_in_words(volume)}) does not share the grid of {first} ({grid_in_words(grid)}).",
                "All images of a session must lie on one grid: register and resample them first (haca3-bids does).",
            )


def _rank(contrast: str) -> tuple[int, str]:
    return (CONTRASTS.index(contrast) if contrast in CONTRASTS else len(CONTRASTS), contrast)


def _session(
    sources: Mapping[str, Volume], canvas: Canvas, rim: Rim, settings: HarmonizationSettings, variant: str
) -> Session:
    prepared = {name: prepare(name, volume, canvas, rim, settings, variant) for name, volume in sources.items()}
    if settings.like_authors and variant == "haca3":
        mask = next(iter(prepared.values())).votes
    else:
        mask = union(source.votes for source in prepared.values())
    if not mask.any():
        raise BadInput("No source shows anything of a head: there is nothing to harmonize.", "Look at the images.")
    return Session(prepared, mask, None if rim.brain is None else canvas.place_mask(rim.brain))


def _run(task: _Task, device: torch.device) -> list[Harmonized]:
    settings, batches = task.settings, Batches(task.settings.batch_size, device)
    weights = [_consistency(task, target.contrast) for target in task.targets]
    with inference(settings.precision, settings.threads):
        stream = Stream(task.session, made_lean(task.checkpoint.model, device), settings, device, batches)
        images: list[DrawnImage] = [DrawnImage() for _ in task.targets]
        for draws in _grouped(task):
            with reused_memory():
                stream.run([draw for _, draw in draws])
            for number, draw in draws:
                fused = _fused(draw, task, device)
                made = consistent(fused, task.session.sources, task.session.mask, weights[number], settings.threads)
                images[number].add(made, draw)
                draw.stacks.clear()
    return [_finished(image, target, stream, task, device) for image, target in zip(images, task.targets, strict=True)]


def _grouped(task: _Task) -> Iterator[list[tuple[int, Draw]]]:
    """Draws that share one encoding, each with the number of its target."""
    samples = task.settings.samples if task.settings.beta == "sample" else 1
    wanted = bool({"attention", "beta"} & set(task.extras))
    pairs = [(number, sample) for sample in range(samples) for number in range(len(task.targets))]
    for first in range(0, len(pairs), DRAWS_AT_ONCE):
        group = pairs[first : first + DRAWS_AT_ONCE]
        yield [(number, Draw(task.targets[number], sample, wanted and sample == 0)) for number, sample in group]


def _fused(draw: Draw, task: _Task, device: torch.device) -> Array:
    """One canvas from the three orientations, each scaled by its own 95th percentile."""
    window = _window(task.session, task.settings)
    for orientation, stack in draw.stacks.items():
        name = f"the harmonized {orientation} stack for target {draw.target.name or draw.target.contrast}"
        draw.stacks[orientation] = scaled(stack, upper_percentile(stack[window], name))
    stacks = [draw.stacks[orientation] for orientation in ORIENTATIONS]
    if task.fusion is None:
        return median(stacks)
    slab = SLAB
    while True:
        try:
            fused = fuse_in_slabs(task.fusion, stacks, device, slab)
            return fused if task.settings.like_authors else fused * task.session.mask  # the network lifts the air
        except torch.OutOfMemoryError:
            if slab == 1:
                raise
            slab //= 2
            torch.cuda.empty_cache()


def _consistency(task: _Task, contrast: str) -> float:
    return consistency_weight(task.settings, task.checkpoint.model.config, task.session.sources, contrast)


def _window(session: Session, settings: HarmonizationSettings) -> Mask:
    """Where percentiles are taken: the authors' grid, by default inside what some source covers."""
    covered = session.covered
    if settings.like_authors:
        covered[:] = True
    window = np.zeros_like(covered)
    window[authors_window()] = covered[authors_window()]
    return window


def _finished(image: DrawnImage, target: Target, stream: Stream, task: _Task, device: torch.device) -> Harmonized:
    assert image.mean is not None
    assert image.first is not None
    mean = task.canvas.restore(image.mean)
    peak, scale = _output_scale(mean, target, task)
    std = image.std()
    draw = image.first
    names = list(task.session.sources) if "attention" in task.extras else []
    levels = draw.beta if "beta" in task.extras else None
    return Harmonized(
        target=target,
        image=_written(mean, scale, task),
        std=None if std is None else _written(task.canvas.restore(std), scale, task),
        sources=_reports(stream, draw, task.session),
        scale=scale,
        white_matter_peak=peak,
        cut_share=task.canvas.cut_share,
        covered_share=float(task.session.covered[task.canvas.box].mean()),
        device=str(device),
        precision=task.settings.precision,
        anatomy=stream.anatomy,
        attention_maps={name: task.canvas.restore(part) for name, part in zip(names, draw.maps, strict=False)},
        beta=None if levels is None else task.canvas.restore_labels(levels),
        residual=stream.residual if target.contrast in stream.own_theta else 0.0,
        consistency=_consistency(task, target.contrast),
        brain_without_source=task.session.brain_without_source,
    )


def _output_scale(image: Volume, target: Target, task: _Task) -> tuple[float | None, float]:
    """White-matter peak of the image at the target's scale, and the factor that brings the peak to 1000."""
    if task.white_matter is None or task.settings.like_authors:
        return None, target.scale
    from haca3_bids.intensity.white_matter import white_matter_peak

    name = target.name or target.contrast
    peak = float(white_matter_peak(image.data * np.float32(target.scale), task.white_matter.data > 0.5))
    if not (np.isfinite(peak) and peak > 0):
        raise BadInput(
            f"The harmonized image has no white-matter peak (found {peak:g}) for target {name}.",
            "Look at the preprocessed images: is the head where the template is?",
        )
    return peak, target.scale * WHITE_MATTER_PEAK / peak


def _written(image: Volume, scale: float, task: _Task) -> Volume:
    data = image.data * np.float32(scale)
    if task.rim.head is not None and not task.settings.like_authors:
        data[task.rim.head.data <= 0.5] = 0
    return image.with_data(data)


def _reports(stream: Stream, draw: Draw, session: Session) -> dict[str, SourceReport]:
    attention = draw.attention.sum(axis=(0, 1))
    attention = attention / max(attention.sum(), 1e-12)
    coronal = stream.codes[ORIENTATIONS.index("coronal")]
    reports = {}
    for number, (name, source) in enumerate(session.sources.items()):
        seen = coronal[stream.middle, number]
        seen = seen[np.isfinite(seen).all(axis=1)]
        theta0, theta1, eta0, eta1 = (seen if len(seen) else np.full((1, 4), np.nan)).mean(axis=0).tolist()
        share, seen_of_brain = float(attention[number]), session.brain_covered(name)
        reports[name] = SourceReport((theta0, theta1), (eta0, eta1), share, source.scale, seen_of_brain)
    return reports
