"""The group level: the sidecars of all sessions in one table and one page. No image is read."""

from __future__ import annotations

import csv
import html
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from haca3_bids.bids.atomic import read_json, write_text
from haca3_bids.bids.names import parse_entities
from haca3_bids.errors import NothingSelected
from haca3_bids.settings import CONTRASTS, Settings

LOGGER = logging.getLogger("haca3_bids")
MISSING = "n/a"
BASE = ("participant_id", "session_id", "desc", "contrast", "theta0", "theta1", "eta0", "eta1")
MEASURES = ("white_matter_peak", "white_matter_peak_raw", "scale", "coverage", "registration_similarity")
COLUMNS = (*BASE, *(f"attention_{contrast}" for contrast in CONTRASTS), *MEASURES)
STYLE = "body{font:14px sans-serif;margin:2em}td,th{padding:2px 8px;text-align:right;border-bottom:1px solid #ddd}"


def run_group(settings: Settings) -> int:
    """Write ``group_contrast.tsv`` and ``group.html`` from the sidecars in the output folder."""
    rows = collect_rows(settings.output_dir, settings.selection.participants, settings.selection.sessions)
    if not rows:
        raise NothingSelected(
            f"There is no harmonized image in {settings.output_dir.name}.", "Run the participant level first."
        )
    write_text(settings.output_dir / "group_contrast.tsv", to_tsv(rows))
    write_text(settings.output_dir / "group.html", to_html(rows))
    sessions = len({(row["participant_id"], row["session_id"]) for row in rows})
    LOGGER.info("%d rows of %d sessions: %s", len(rows), sessions, settings.output_dir / "group.html")
    return 0


def collect_rows(output_dir: Path, subjects: Sequence[str] = (), sessions: Sequence[str] = ()) -> list[dict[str, str]]:
    """A row for each preprocessed scan (its own theta and eta) and one for each harmonized image (its target's)."""
    rows = []
    for path in sorted(output_dir.glob("sub-*/**/anat/*_res-*_desc-*.json")):
        entities, suffix, _ = parse_entities(path.name)
        if (subjects and entities["sub"] not in subjects) or (sessions and entities.get("ses") not in sessions):
            continue
        sidecar = read_json(path)
        if sidecar is not None and suffix in CONTRASTS and not entities["desc"].endswith("Std"):
            rows.append(_row(entities, suffix, sidecar, path))
    return rows


def _row(entities: Mapping[str, str], contrast: str, sidecar: Mapping[str, Any], path: Path) -> dict[str, str]:
    row = dict.fromkeys(COLUMNS, MISSING)
    row["participant_id"] = f"sub-{entities['sub']}"
    row["session_id"] = f"ses-{entities['ses']}" if "ses" in entities else MISSING
    row |= {"desc": entities["desc"], "contrast": contrast}
    own = sidecar.get("Target") or _as_source(path, contrast)
    for letter, key in (("theta", "Theta"), ("eta", "Eta")):
        for index, value in enumerate((own.get(key) or ())[:2]):
            row[f"{letter}{index}"] = _number(value)
    for source, values in (sidecar.get("SourceContrasts") or {}).items():
        row[f"attention_{source}"] = _number(values.get("Attention"))
    names = ("WhiteMatterPeak", "WhiteMatterPeakRaw", "Scale", "FieldOfViewCoverage", "RegistrationSimilarity")
    row |= {column: _number(sidecar.get(name)) for column, name in zip(MEASURES, names, strict=True)}
    return row


def _as_source(path: Path, contrast: str) -> Mapping[str, Any]:
    """Theta and eta that a harmonized image of the same session noted for this source."""
    for sibling in sorted(path.parent.glob("*_desc-haca3*.json")):
        sources = (read_json(sibling) or {}).get("SourceContrasts") or {}
        if contrast in sources:
            return dict(sources[contrast])
    return {}


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, int | float) and not isinstance(value, bool) else MISSING


def to_tsv(rows: Sequence[Mapping[str, str]]) -> str:
    """The rows as tab-separated text."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def to_html(rows: Sequence[Mapping[str, str]]) -> str:
    """The rows as a plain page of its own."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in COLUMNS)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(row[name])}</td>" for name in COLUMNS) + "</tr>" for row in rows
    )
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>haca3_bids: all sessions</title>'
        f"<style>{STYLE}</style>\n<h1>All sessions</h1>\n<p>One row a preprocessed scan (desc preproc) or harmonized "
        f"image; the same numbers are in group_contrast.tsv.</p>\n<table><tr>{head}</tr>\n{body}\n</table></html>\n"
    )
