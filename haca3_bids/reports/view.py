"""The data that a subject's page shows of one session, taken from its record: no image is read for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from haca3_bids.bids.describe import target_key, target_picture
from haca3_bids.option import labels
from haca3_bids.physics.tissues import TISSUES
from haca3_bids.quality.contrast import is_table
from haca3_bids.quality.thresholds import with_changes
from haca3_bids.quality.verdict import quality_block
from haca3_bids.reports.pixels import SLICES, data_uri, picture_size
from haca3_bids.reports.theta import PLAIN_AXES, TISSUE_WORDS, Point, axes_of, position, theta_plane
from haca3_bids.settings import HarmonizationSettings

Record = Mapping[str, Any]
MIME = {".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg"}
BUILTIN_ORIGIN = "built-in reference of builtin"
BUILTIN_PICTURES = Path(__file__).parents[1] / "checkpoints" / "builtin"  # simulated heads: nobody's secret
KINDS = ("registration", "coregistration", "outline", "bias", "histogram")


@dataclass(frozen=True)
class Viewer:
    """The slices that belong to one harmonized image, with one slider."""

    title: str
    panes: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class TissueTable:
    """Tissue intensities (theta of the mixture model) of sources, targets and harmonized images."""

    groups: Sequence[tuple[str, int]]  # heading and how many columns it spans
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[float]]]  # tissue in words, and its intensity in each column


@dataclass(frozen=True)
class SessionView:
    """The data that the template shows of one session."""

    name: str
    anchor: str
    failed: bool
    record: Record
    quality: Record
    verdict: str
    facts: Sequence[tuple[str, str]]
    software: Sequence[tuple[str, str]]
    costs: Sequence[tuple[str, float | None, float | None]]
    sources: Mapping[str, Any]
    numbers: Sequence[Mapping[str, Any]]
    theta: str
    axes: tuple[str, str]
    tissues: TissueTable | None
    viewers: Sequence[Viewer]
    figures: Mapping[str, Sequence[Mapping[str, str]]] = field(default_factory=dict)


def view_session(output_dir: Path, record: Record, show_targets: bool = False) -> SessionView:
    """The view of one session's record; figures are read from the dataset into the page."""
    session = record.get("session")
    images = (record.get("harmonization") or {}).get("images") or []
    sources = images[0].get("sources", {}) if images else {}
    quality = record.get("quality") or quality_block(record.get("preprocessing") or {}, {})
    failed = record.get("status") != "done"
    listed = record.get("figures") or ()
    axes = next((axes_of(theta) for theta in _thetas(sources, images)), PLAIN_AXES)
    return SessionView(
        name=f"ses-{session}" if session else "Session",
        anchor=f"ses-{session or 'only'}",
        failed=failed,
        record=record,
        quality=quality,
        verdict="fail" if failed else str(quality.get("verdict", "look")),
        facts=_facts(record),
        software=_software(record),
        costs=_costs(record),
        sources=sources,
        numbers=list(_numbers(quality)),
        theta=theta_plane(_points(record, sources, images), axes),
        axes=axes,
        tissues=_tissues(sources, images),
        viewers=_viewers(output_dir, listed, _target_pictures(output_dir, images, show_targets)),
        figures=_by_kind(output_dir, listed),
    )


def _facts(record: Record) -> list[tuple[str, str]]:
    before, after = record.get("preprocessing") or {}, record.get("harmonization") or {}
    images = after.get("images") or []
    facts = {
        "Sources": ", ".join(image["contrast"] for image in record.get("images") or ()),
        "Reference": before.get("reference"),
        "Targets": ", ".join(_target_name(image["target"]) for image in images),
        "Template": before.get("template"),
        "Weights": (after.get("weights") or {}).get("name"),
        "Time": _minutes(sum((record.get("seconds") or {}).values())),
    }
    return [(name, value) for name, value in facts.items() if value]


def _software(record: Record) -> list[tuple[str, str]]:
    after = record.get("harmonization") or {}
    weights, fusion = after.get("weights") or {}, after.get("fusion") or {}
    memory = after.get("peak_memory_bytes")
    facts = {
        "haca3_bids": record.get("version"),
        "Weights": _weights(weights),
        "Fusion weights": _weights(fusion),
        "Variant": weights.get("variant"),
        **{label: after.get(name) for name, label in labels(HarmonizationSettings).items()},
        "Peak memory of the networks": f"{memory / 1e9:.2f} GB" if memory else None,
        **(record.get("software") or {}),
    }
    return [(name, str(value)) for name, value in facts.items() if value not in (None, "")]


def _costs(record: Record) -> list[tuple[str, float | None, float | None]]:
    """Seconds and megabytes of each step."""
    seconds, memory = record.get("seconds") or {}, record.get("memory_mb") or {}
    return [(step, seconds.get(step), memory.get(step)) for step in dict.fromkeys([*seconds, *memory])]


def _numbers(quality: Record) -> Iterable[dict[str, Any]]:
    """A row for each quality number: where, measure, meaning, value, limits, grade."""
    table = with_changes([(*change,) for change in quality.get("thresholds_changed") or ()])
    places = {"session": {"": quality.get("session") or {}}}
    places |= {"scan": dict(quality.get("scans") or {}), "image": dict(quality.get("images") or {})}
    for place, group in places.items():
        for where, own in group.items():
            for threshold in table.values():
                if threshold.place == place and isinstance(own.get(threshold.measure), int | float):
                    grade, _ = threshold.grade(own[threshold.measure])
                    row = {"where": where or "session", "threshold": threshold, "value": own[threshold.measure]}
                    yield row | {"grade": grade}


def _points(record: Record, sources: Record, images: Sequence[Record]) -> list[Point]:
    """Sources, harmonized images, targets and built-in references that are no targets themselves."""
    points = [Point(c, position(own["theta"]), "source", c) for c, own in sources.items() if own.get("theta")]
    wanted: set[tuple[float, ...]] = set()
    for image in images:
        target = image["target"]
        contrast = str(target["contrast"])
        wanted.add(tuple(target["theta"]))
        points.append(Point(f"target {_target_name(target)}", position(target["theta"]), "target", contrast))
        if image.get("theta_after"):
            points.append(Point(f"{contrast} harmonized", position(image["theta_after"]), "harmonized", contrast))
    references = (record.get("harmonization") or {}).get("references") or {}
    points += [
        Point(f"reference {contrast}", position(own["theta"]), "reference", contrast)
        for contrast, own in references.items()
        if tuple(own["theta"]) not in wanted
    ]
    return points


def _thetas(sources: Record, images: Sequence[Record]) -> Iterable[Sequence[float]]:
    """Every theta of a session that is known."""
    found = [own.get("theta") for own in sources.values()]
    yield from filter(None, [*found, *(image["target"].get("theta") for image in images)])


def _tissues(sources: Record, images: Sequence[Record]) -> TissueTable | None:
    """The tables of a session side by side; None where theta is no table."""
    known = {contrast: own["theta"] for contrast, own in sources.items() if own.get("theta")}
    if not all(is_table(theta) for theta in _thetas(sources, images)) or not (known or images):
        return None
    groups, columns = [("sources", len(known))] if known else [], list(known)
    tables: list[Sequence[float]] = list(known.values())
    for image in images:
        reached = image.get("theta_after")
        groups.append((_target_name(image["target"]), 2 if reached else 1))
        columns += ["target", "reached"] if reached else ["target"]
        tables += [image["target"]["theta"], reached] if reached else [image["target"]["theta"]]
    rows = [(TISSUE_WORDS[name], [table[index] for table in tables]) for index, name in enumerate(TISSUES)]
    return TissueTable(groups, columns, rows)


def _target_pictures(output_dir: Path, images: Sequence[Record], asked_for: bool) -> dict[str, Path]:
    """Slices of the targets that may be shown, by the targets' keys: the built-in ones, and those asked for."""
    found = {}
    for target in (image["target"] for image in images):
        builtin = target.get("origin") == BUILTIN_ORIGIN
        shown = BUILTIN_PICTURES / f"{target['contrast']}.jpg" if builtin else target_picture(output_dir, target)
        if (builtin or asked_for) and shown.is_file():
            found[target_key(target)] = shown
    return found


def _viewers(output_dir: Path, figures: Iterable[Record], targets: Mapping[str, Path]) -> list[Viewer]:
    grouped: dict[str, list[dict[str, Any]]] = {}
    titles: dict[str, str] = {}
    for figure in figures:
        if figure.get("kind") == "slices":
            key = str(figure.get("target"))
            title, _, role = str(figure.get("title")).partition(": ")
            titles.setdefault(key, title)
            panes = grouped.setdefault(key, [])
            if role == "harmonized" and key in targets:
                panes.append(_pane(targets[key], "target"))
            panes.append(_pane(output_dir / figure["file"], role))
    return [Viewer(titles[key], panes) for key, panes in grouped.items()]


def _pane(path: Path, role: str) -> dict[str, Any]:
    """One column of slices: its picture, and the shape of the window through which one slice is seen."""
    if not path.is_file():
        return {"role": role, "data": ""}
    width, height = picture_size(path)
    return {
        "role": role,
        "data": data_uri(path.read_bytes(), MIME[path.suffix]),
        "shape": f"{width * SLICES} / {height}",
    }


def _by_kind(output_dir: Path, figures: Iterable[Record]) -> dict[str, list[dict[str, str]]]:
    grouped: dict[str, list[dict[str, str]]] = {kind: [] for kind in (*KINDS, "other")}
    for figure in figures:
        if figure.get("kind") != "slices":
            kind = figure.get("kind") if figure.get("kind") in KINDS else "other"
            title = figure.get("title") or " ".join(filter(None, (figure.get("contrast"), kind)))
            data = _data_uri(output_dir, figure["file"])
            grouped[str(kind)].append({"title": title, "file": figure["file"], "data": data})
    return grouped


def _data_uri(output_dir: Path, file: str) -> str:
    path = output_dir / file
    if not path.is_file() or path.suffix not in MIME:
        return ""
    return data_uri(path.read_bytes(), MIME[path.suffix])


def _weights(described: Record) -> str:
    digest = described.get("sha256")
    return f"{described.get('name', '')} {f'(SHA-256 {digest[:12]})' if digest else ''}".strip()


def _target_name(target: Record) -> str:
    return f"{target['contrast']} ({target.get('name') or 'built-in'})"


def _minutes(seconds: float) -> str:
    if not seconds:
        return ""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"
