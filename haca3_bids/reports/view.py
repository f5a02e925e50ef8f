"""The data of one session for the subject report, from its record; no volume is read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from haca3_bids.bids.describe import target_picture
from haca3_bids.checkpoints.registry import BUILTIN, BUILTIN_DIR
from haca3_bids.option import labels
from haca3_bids.physics.tissues import TISSUES
from haca3_bids.quality.contrast import is_table
from haca3_bids.quality.thresholds import Threshold, with_changes
from haca3_bids.records.engine import EngineResult, HarmonizedImage, WeightsUsed
from haca3_bids.records.session import Figure, Quality, SessionRecord
from haca3_bids.records.target import builtin_origin, target_in_words
from haca3_bids.reports.pixels import SLICES, data_uri, picture_size
from haca3_bids.reports.theta import PLAIN_AXES, TISSUE_WORDS, Point, axes_of, position, theta_plane
from haca3_bids.settings import HarmonizationSettings

MIME = {".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg"}
KINDS = ("registration", "coregistration", "outline", "bias", "histogram")


@dataclass(frozen=True)
class Pane:
    """One column of slices: its image, and the aspect ratio of the window that shows one slice."""

    role: str
    data: str = ""
    shape: str = ""


@dataclass(frozen=True)
class TissueTable:
    """Tissue intensities (theta of the mixture model) of sources, targets and harmonized images."""

    groups: Sequence[tuple[str, int]]  # heading and how many columns it spans
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[float]]]  # tissue in words, and its intensity in each column


def view_session(output_dir: Path, record: SessionRecord, show_targets: bool = False) -> dict[str, object]:
    """The data of a session for ``session.html.j2``; figures in the dataset are embedded."""
    session, result = record.session, record.harmonization
    seconds, memory = record.seconds, record.memory_mb
    axes = next((axes_of(theta) for theta in _thetas(result)), PLAIN_AXES)
    return {
        "name": f"ses-{session}" if session else "Session",
        "anchor": f"ses-{session or 'only'}",
        "record": record,
        "facts": _facts(record),
        "software": _software(record),
        "costs": [(step, seconds.get(step), memory.get(step)) for step in dict.fromkeys([*seconds, *memory])],
        "numbers": list(_numbers(record.quality)),
        "theta": theta_plane(_points(result), axes),
        "axes": axes,
        "tissues": _tissues(result),
        "viewers": _viewers(output_dir, record.figures, _target_pictures(output_dir, result.images, show_targets)),
        "figures": _by_kind(output_dir, record.figures),
    }


def _facts(record: SessionRecord) -> list[tuple[str, str]]:
    before, after = record.preprocessing, record.harmonization
    facts = {
        "Sources": ", ".join(image.contrast for image in record.images),
        "Reference": before.reference,
        "Targets": ", ".join(target_in_words(image.target.key) for image in after.images),
        "Template": before.template,
        "Weights": after.weights.name,
        "Time of all steps": _minutes(sum(record.seconds.values())),
    }
    return [(name, value) for name, value in facts.items() if value]


def _software(record: SessionRecord) -> list[tuple[str, str]]:
    after = record.harmonization
    memory = after.peak_memory_bytes
    facts = {
        "haca3_bids": record.version,
        "Weights": _weights(after.weights),
        "Fusion weights": _weights(after.fusion or WeightsUsed()),
        "Variant": after.weights.variant,
        **{label: getattr(after, name) for name, label in labels(HarmonizationSettings).items()},
        "Peak memory of the networks": f"{memory / 1e9:.2f} GB" if memory else None,
    }
    return [(name, str(value)) for name, value in facts.items() if value not in (None, "")]


def _numbers(quality: Quality) -> Iterable[tuple[str, Threshold, float, str]]:
    """Where it was measured, limits, value and grade of each known quality number."""
    table = with_changes(quality.thresholds_changed)
    for place, where, own in quality.places():
        for threshold in table.values():
            value = own.get(threshold.measure)
            if threshold.place == place and isinstance(value, int | float):
                yield (
                    (target_in_words(where) if place == "image" else where or "session"),
                    threshold,
                    value,
                    threshold.grade(value)[0],
                )


def _points(result: EngineResult) -> list[Point]:
    """Points for sources, harmonized images, targets, and built-in references that are not targets."""
    points = [Point(c, position(own.theta), "source", c) for c, own in result.sources.items()]
    for image in result.images:
        target, contrast = image.target, image.target.contrast
        points.append(Point(f"target {target_in_words(target.key)}", position(target.theta), "target", contrast))
        if image.theta_after:
            points.append(Point(f"{contrast} harmonized", position(image.theta_after), "harmonized", contrast))
    wanted = {image.target.theta for image in result.images}
    points += [
        Point(f"reference {contrast}", position(own.theta), "reference", contrast)
        for contrast, own in result.references.items()
        if own.theta not in wanted
    ]
    return points


def _thetas(result: EngineResult) -> Iterable[Sequence[float]]:
    """Every theta of a session."""
    yield from (own.theta for own in result.sources.values())
    yield from (image.target.theta for image in result.images)


def _tissues(result: EngineResult) -> TissueTable | None:
    """The tissue tables of a session; None if theta is not a table."""
    sources = {contrast: own.theta for contrast, own in result.sources.items()}
    if not all(is_table(theta) for theta in _thetas(result)) or not result.images:
        return None
    groups, columns = [("sources", len(sources))] if sources else [], list(sources)
    tables: list[Sequence[float]] = list(sources.values())
    for image in result.images:
        reached = image.theta_after
        groups.append((target_in_words(image.target.key), 2 if reached else 1))
        columns += ["target", "reached"] if reached else ["target"]
        tables += [image.target.theta, reached] if reached else [image.target.theta]
    rows = [(TISSUE_WORDS[name], [table[index] for table in tables]) for index, name in enumerate(TISSUES)]
    return TissueTable(groups, columns, rows)


def _target_pictures(output_dir: Path, images: Iterable[HarmonizedImage], asked_for: bool) -> dict[str, Path]:
    """Slices of the targets that may be shown, by key: built-in ones, and others if ``asked_for``."""
    found = {}
    for target in (image.target for image in images):
        builtin = target.origin == builtin_origin(BUILTIN)
        shown = BUILTIN_DIR / f"{target.contrast}.jpg" if builtin else target_picture(output_dir, target.key)
        if (builtin or asked_for) and shown.is_file():
            found[target.key] = shown
    return found


def _viewers(output_dir: Path, figures: Iterable[Figure], targets: Mapping[str, Path]) -> list[tuple[str, list[Pane]]]:
    """The title and the panes of each harmonized image, whose slices one slider controls."""
    viewers: dict[str, tuple[str, list[Pane]]] = {}
    for figure in (figure for figure in figures if figure.kind == "slices"):
        key = str(figure.target)
        _, panes = viewers.setdefault(key, (figure.title.partition(": ")[0], []))
        if figure.role == "harmonized" and key in targets:
            panes.append(_pane(targets[key], "target"))
        panes.append(_pane(output_dir / figure.file, figure.role))
    return list(viewers.values())


def _pane(path: Path, role: str) -> Pane:
    if not path.is_file():
        return Pane(role)
    width, height = picture_size(path)
    return Pane(role, data_uri(path.read_bytes(), MIME[path.suffix]), f"{width * SLICES} / {height}")


def _by_kind(output_dir: Path, figures: Iterable[Figure]) -> dict[str, list[dict[str, str]]]:
    grouped: dict[str, list[dict[str, str]]] = {kind: [] for kind in KINDS}
    for figure in (figure for figure in figures if figure.kind in KINDS):
        title = figure.title or f"{figure.contrast} {figure.kind}"
        shown = {"title": title, "file": figure.file, "data": _data_uri(output_dir, figure.file)}
        grouped[figure.kind].append(shown)
    return grouped


def _data_uri(output_dir: Path, file: str) -> str:
    path = output_dir / file
    if not path.is_file() or path.suffix not in MIME:
        return ""
    return data_uri(path.read_bytes(), MIME[path.suffix])


def _weights(used: WeightsUsed) -> str:
    return f"{used.name} {f'(SHA-256 {used.sha256[:12]})' if used.sha256 else ''}".strip()


def _minutes(seconds: float) -> str:
    if not seconds:
        return ""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"
