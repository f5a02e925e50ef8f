"""The page of one subject, made from the derivatives dataset alone: records and figures in, one HTML file out."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import haca3_bids
from haca3_bids.reports.figures import draw_theta_plane
from haca3_bids.reports.methods import methods_html
from haca3_bids.reports.rendering import render

Record = Mapping[str, Any]
MIME = {".svg": "image/svg+xml", ".png": "image/png"}
KINDS = ("registration", "before_after", "histogram", "theta", "harmonized")


@dataclass(frozen=True)
class SessionView:
    """What the template shows of one session."""

    name: str
    anchor: str
    failed: bool
    record: Record
    facts: Sequence[tuple[str, str]]
    software: Sequence[tuple[str, str]]
    sources: Mapping[str, Any]
    figures: Mapping[str, Sequence[Mapping[str, str]]]


def write_subject_page(output_dir: Path, subject: str) -> Path:
    """Write ``sub-X.html`` into the dataset and return its path; every figure is inside the page."""
    label = subject if subject.startswith("sub-") else f"sub-{subject}"
    records = read_records(output_dir, label)
    page = output_dir / f"{label}.html"
    text = render(
        "subject.html.j2",
        subject=label,
        version=haca3_bids.__version__,
        acknowledgement=_description(output_dir).get("HowToAcknowledge"),
        sessions=[_view(output_dir, record) for record in records],
        methods=_methods(records),
    )
    partial = page.with_name(f".{os.getpid()}-{page.name}")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, page)
    return page


def read_records(output_dir: Path, subject: str) -> list[dict[str, Any]]:
    """The records of the subject's sessions in the order of their names."""
    paths = sorted((output_dir / subject).rglob(f"{subject}*_desc-haca3_qc.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def _description(output_dir: Path) -> Record:
    path = output_dir / "dataset_description.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _view(output_dir: Path, record: Record) -> SessionView:
    session = record.get("session")
    name = f"ses-{session}" if session else "Session"
    images = (record.get("harmonization") or {}).get("images") or []
    sources = images[0].get("sources", {}) if images else {}
    listed = [*record.get("figures", ()), *_theta_figure(output_dir, record, sources, images)]
    return SessionView(
        name=name,
        anchor=f"ses-{session or 'only'}",
        failed=record.get("status") != "done",
        record=record,
        facts=_facts(record),
        software=_software(record),
        sources=sources,
        figures=_by_kind(output_dir, listed),
    )


def _facts(record: Record) -> list[tuple[str, str]]:
    before, after = record.get("preprocessing") or {}, record.get("harmonization") or {}
    images = after.get("images") or []
    facts = {
        "Sources": ", ".join(image["contrast"] for image in record.get("images", ())),
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
        "Device": after.get("device"),
        "Precision": after.get("precision"),
        "Seed": after.get("seed"),
        "Peak memory of the networks": f"{memory / 1e9:.2f} GB" if memory else None,
        **(record.get("software") or {}),
    }
    return [(name, str(value)) for name, value in facts.items() if value not in (None, "")]


def _weights(described: Mapping[str, Any]) -> str:
    digest = described.get("sha256")
    return f"{described.get('name', '')} {f'(SHA-256 {digest[:12]})' if digest else ''}".strip()


def _target_name(target: Mapping[str, Any]) -> str:
    return f"{target['contrast']} ({target.get('name') or 'built-in'})"


def _theta_figure(
    output_dir: Path, record: Record, sources: Mapping[str, Any], images: Iterable[Mapping[str, Any]]
) -> list[dict[str, str]]:
    """Draw the plane of contrast beside the session's other figures."""
    thetas = {contrast: source["theta"] for contrast, source in sources.items() if source.get("theta")}
    wanted = {_target_name(image["target"]): image["target"]["theta"] for image in images}
    if not thetas:
        return []
    subject, session = record["subject"], record.get("session")
    subject = subject if subject.startswith("sub-") else f"sub-{subject}"
    stem = f"{subject}_ses-{session}" if session else subject
    file = f"{subject}/figures/{stem}_desc-haca3_theta.svg"
    draw_theta_plane(thetas, wanted, output_dir / file)
    return [{"kind": "theta", "file": file, "title": "Contrast of the sources and the targets"}]


def _by_kind(output_dir: Path, figures: Iterable[Mapping[str, Any]]) -> dict[str, list[dict[str, str]]]:
    grouped: dict[str, list[dict[str, str]]] = {kind: [] for kind in (*KINDS, "other")}
    for figure in figures:
        kind = figure.get("kind") if figure.get("kind") in KINDS else "other"
        title = figure.get("title") or " ".join(filter(None, (figure.get("contrast"), kind)))
        data = _data_uri(output_dir / figure["file"])
        grouped[str(kind)].append({"title": title, "file": figure["file"], "data": data})
    return grouped


def _data_uri(path: Path) -> str:
    if not path.is_file():
        return ""
    return f"data:{MIME[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _methods(records: Iterable[Record]) -> str:
    """The sentences of all sessions, each once, as HTML."""
    sentences = list(dict.fromkeys(sentence for record in records for sentence in record.get("methods") or ()))
    return methods_html(sentences) if sentences else ""


def _minutes(seconds: float) -> str:
    if not seconds:
        return ""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"
