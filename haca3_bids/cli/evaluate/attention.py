"""``haca3 evaluate attention``: whether attention decreases as a source is degraded."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from haca3_bids.arrays import Mask
from haca3_bids.bids.results import TemplateImage, images_of
from haca3_bids.cli.command import add_threads
from haca3_bids.cli.evaluate.given import add_brain, brain_in_words, brain_of
from haca3_bids.cli.evaluate.inputs import load
from haca3_bids.cli.evaluate.selection import sessions_of
from haca3_bids.cli.options import add_options, typed
from haca3_bids.errors import BadInput
from haca3_bids.option import options_of
from haca3_bids.records.findings import Column, Drawing, Findings, Table, Value
from haca3_bids.settings import CONTRASTS, WHITE_MATTER_PEAK, HarmonizationSettings

if TYPE_CHECKING:
    from haca3_bids.harmonization.engine import Harmonized
    from haca3_bids.harmonization.job import Networks
    from haca3_bids.physics.scanner import Imperfections
    from haca3_bids.volumes.volume import Volume

HELP = "attention to a source that is degraded step by step, and its effect on the harmonized image"
OPTIONS = options_of(HarmonizationSettings)
ARTIFACTS = ("noise", "motion", "ghosts")
COLUMNS = {
    "attention": (
        Column("participant_id", "Subject"),
        Column("session_id", "Session"),
        Column("degraded", "Contrast of the source that is degraded, and of the harmonized image"),
        Column(
            "artifact",
            "Artifact that is added",
            levels={"noise": "Rician noise", "motion": "rigid motion during the scan", "ghosts": "ghosts"},
        ),
        Column("level", "Level of the artifact; 0 means that the source is as scanned"),
        Column(
            "amount",
            "Noise: standard deviation relative to white matter; motion: largest displacement in voxels; ghosts: "
            "modulation of k-space lines",
        ),
        *(
            Column(f"attention_{contrast}", f"Mean attention to the {contrast} in the brain; all sources sum to 1")
            for contrast in CONTRASTS
        ),
        Column("eta", "Artifact level of the degraded source, estimated by the networks; 0 means none"),
        Column("psnr_source_db", "PSNR in the brain of the degraded source against the source as scanned", "dB"),
        Column("psnr_db", "PSNR in the brain of the harmonized image against that from the source as scanned", "dB"),
        Column("ssim", "SSIM in the brain of the harmonized image against that from the source as scanned"),
    )
}
SEED = 1  # of the artifacts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add options for the sessions, the degraded source, the artifacts and the harmonization."""
    parser.add_argument("dataset", type=Path, help="output folder of haca3-bids")
    parser.add_argument(
        "--session",
        nargs="+",
        metavar="sub-X[_ses-Y]",
        help="sessions to use (default: the first with at least two contrasts)",
    )
    parser.add_argument("--degraded", choices=CONTRASTS, help="source to degrade (default: the first of the session)")
    parser.add_argument(
        "--artifact", nargs="+", choices=ARTIFACTS, default=list(ARTIFACTS), help="artifacts to add (default: all)"
    )
    parser.add_argument("--before", default="preproc", metavar="DESC", help="desc of the sources (default: preproc)")
    add_brain(parser)
    run = parser.add_argument_group("harmonization")
    add_options(run, OPTIONS)
    add_threads(run)


@dataclass(frozen=True)
class _Trial:
    """One session with a source to be degraded, and the networks."""

    sources: Mapping[str, Volume]
    degraded: str
    brain: Mask
    head: Mask
    networks: Networks
    settings: HarmonizationSettings

    def worse(self, how: Imperfections) -> Volume:
        """The source acquired again with imperfections ``how``."""
        from haca3_bids.physics.scanner import acquire

        source, unit = self.sources[self.degraded], np.float32(WHITE_MATTER_PEAK)
        return source.with_data(acquire(source.data / unit, how) * unit)

    def harmonized(self, source: Volume) -> Harmonized:
        """The harmonized image of the degraded contrast, with ``source`` in place of the original source."""
        from haca3_bids.harmonization.engine import harmonize
        from haca3_bids.harmonization.target import target_from_reference

        (image,) = harmonize(
            {**self.sources, self.degraded: source},
            [target_from_reference(self.degraded, self.networks.checkpoint)],
            self.networks.checkpoint,
            self.networks.fusion,
            self.settings,
            brain=source.with_data(self.brain),
            white=WHITE_MATTER_PEAK,
            extras=("attention",),
        )
        return image


@dataclass
class _Seen:
    """Results accumulated over sessions."""

    rows: list[dict[str, Value]] = field(default_factory=list)
    pictures: dict[str, Drawing] = field(default_factory=dict)  # by artifact, of the first session


def run(args: argparse.Namespace) -> Findings:
    """A table with a row for every session, artifact and level."""
    from haca3_bids.harmonization.device import choose_device
    from haca3_bids.harmonization.job import load_networks

    sessions = _sessions(args)
    settings = HarmonizationSettings(**typed(OPTIONS, args), threads=args.threads)
    choose_device(settings.device)
    networks, seen = load_networks(settings), _Seen()
    for sources in sessions:
        _measure(sources, args, networks, settings, seen)
    names = ", ".join(next(iter(sources.values())).session_name for sources in sessions)
    summary = (
        f"One source of {names} is degraded step by step, and all sources are harmonized to the built-in reference of "
        "its contrast; the harmonized image is compared with that from the source as scanned."
    )
    notes = [
        f"Weights: {networks.weights.name}. The brain is {brain_in_words(args.brain)}. PSNR and SSIM follow after "
        "multiplication by the factor that fits best; the data range is the 95th percentile in the head."
    ]
    tables = {"attention": Table(COLUMNS["attention"], seen.rows)}
    drawings = [*_charts(seen.rows, args.artifact), *seen.pictures.values()] if args.out else ()
    return Findings(summary, tables, drawings, notes)


def _sessions(args: argparse.Namespace) -> list[dict[str, TemplateImage]]:
    """The sources of each requested session by contrast; BadInput if a session is not usable."""
    found: dict[str, dict[str, TemplateImage]] = {}
    images = images_of(args.dataset)
    for contrast in CONTRASTS:
        for image in sessions_of(images, args.before, contrast).values():
            found.setdefault(image.session_name, {})[contrast] = image
    name = args.dataset.resolve().name
    wanted = args.session or [session for session, own in found.items() if len(own) > 1][:1]
    if not wanted:
        raise BadInput(
            f"{name} has no session with desc-{args.before} images of two contrasts.",
            "Attention is divided between the sources of a session: at least two are needed.",
        )
    for session in wanted:
        contrasts = ", ".join(found.get(session, {})) or "no images"
        if len(found.get(session, {})) < 2 or (args.degraded and args.degraded not in found[session]):
            needed = f"{args.degraded} and another contrast" if args.degraded else "two contrasts"
            raise BadInput(f"{session} of {name} has {contrasts} with desc-{args.before}; {needed} are needed.")
    return [found[session] for session in wanted]


def _measure(
    files: Mapping[str, TemplateImage],
    args: argparse.Namespace,
    networks: Networks,
    settings: HarmonizationSettings,
    seen: _Seen,
) -> None:
    """Add the rows of one session."""
    from haca3_bids.intensity.background import head_mask

    sources = {contrast: load(image.path) for contrast, image in files.items()}
    contrast = args.degraded or next(iter(sources))
    head = head_mask(sources[contrast].data)
    brain = brain_of(files[contrast], sources[contrast], args.brain) & head
    trial = _Trial(sources, contrast, brain, head, networks, settings)
    about: dict[str, Value] = {
        "participant_id": files[contrast].participant,
        "session_id": files[contrast].session,
        "degraded": contrast,
    }
    clean = trial.harmonized(sources[contrast])
    for artifact in args.artifact:
        shown: dict[str, Volume] = {}
        for level, (amount, how) in enumerate(_levels(artifact)):
            print(f"{files[contrast].session_name} {contrast}: {artifact} {amount:g}", file=sys.stderr)
            source = sources[contrast] if level == 0 else trial.worse(how)
            image = clean if level == 0 else trial.harmonized(source)
            found = _row(trial, source, image, clean if level else None)
            seen.rows.append({**about, "artifact": artifact, "level": level, "amount": amount, **found})
            if args.out and artifact not in seen.pictures:
                shown[f"{contrast}, {artifact} {amount:g}"] = source
                shown[f"attention to it {amount:g}"] = image.attention_maps[contrast]
                shown[f"harmonized {amount:g}"] = image.image
        if shown:
            seen.pictures[artifact] = _picture(artifact, shown)


def _levels(artifact: str) -> Iterator[tuple[float, Imperfections]]:
    """Amount and imperfections of every level; the first is as scanned."""
    from haca3_bids.physics.degradation import LADDERS, steps
    from haca3_bids.physics.scanner import Imperfections

    return zip((0.0, *LADDERS[artifact].amounts), steps(artifact, Imperfections(SEED)), strict=True)


def _row(trial: _Trial, source: Volume, image: Harmonized, clean: Harmonized | None) -> dict[str, Value]:
    """The measurements at one level; ``clean`` is None at level 0."""
    from haca3_bids.evaluation.similarity import fitted

    row: dict[str, Value] = {f"attention_{name}": own.attention for name, own in image.sources.items()}
    row["eta"] = _badness(image.sources[trial.degraded].eta, trial)
    if clean is not None:
        before = fitted(source.data, trial.sources[trial.degraded].data, trial.brain, trial.head)
        after = fitted(image.image.data, clean.image.data, trial.brain, trial.head)
        row |= {"psnr_source_db": before.psnr_db, "psnr_db": after.psnr_db, "ssim": after.ssim}
    return row


def _badness(eta: Sequence[float], trial: _Trial) -> float:
    """Eta if it is one number; for HACA3 its distance from eta of the built-in reference."""
    return eta[0] if len(eta) == 1 else math.dist(eta, trial.networks.checkpoint.references[trial.degraded].eta)


def _charts(rows: Sequence[Mapping[str, Value]], artifacts: Sequence[str]) -> Iterator[Drawing]:
    """Charts of attention, eta and PSNR against the amount of each artifact."""
    from haca3_bids.reports.charts import lines, panels, svg

    sources = [contrast for contrast in CONTRASTS if any(f"attention_{contrast}" in row for row in rows)]
    charts = {
        "Attention in the brain": {contrast: f"attention_{contrast}" for contrast in sources},
        "Eta of the degraded source": {"eta": "eta"},
        "PSNR in the brain (dB)": {"degraded source": "psnr_source_db", "harmonized image": "psnr_db"},
    }
    for title, curves in charts.items():
        figure, axes = panels(artifacts, title, columns=3)
        for one, artifact in zip(axes, artifacts, strict=True):
            own = [row for row in rows if row["artifact"] == artifact]
            across = [amount for amount, _ in _levels(artifact)]
            lines(one, across, {name: _means(own, column) for name, column in curves.items()}, artifact)
        yield Drawing(title, svg(figure), caption="Mean over sessions; 0 is the source as scanned.")


def _means(rows: Sequence[Mapping[str, Value]], column: str) -> list[float | None]:
    """The mean of a column over sessions at every level; None if no session has a value."""
    levels: dict[Value, list[float]] = {}
    for row in rows:
        value = row.get(column)
        levels.setdefault(row["level"], []).extend([value] if isinstance(value, float) else [])
    return [sum(values) / len(values) if values else None for values in levels.values()]


def _picture(artifact: str, images: Mapping[str, Volume]) -> Drawing:
    """A figure with a row for every level: source, attention to it, and harmonized image."""
    from haca3_bids.reports.charts import HEAD_AXIAL_MM, slices, svg

    white = {name: 1.0 for name in images if name.startswith("attention")}
    figure = slices(images, HEAD_AXIAL_MM, columns=3, white=white)
    return Drawing(f"{artifact.capitalize()}, first session", svg(figure), caption="Attention: white is 1.")
