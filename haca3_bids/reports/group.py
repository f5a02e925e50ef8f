"""The group report: a sortable table, contrast (theta) before and after harmonization, and the worst sessions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import haca3_bids
from haca3_bids.quality.thresholds import GRADES, THRESHOLDS
from haca3_bids.records.files import to_json
from haca3_bids.reports.cohort import NOT_KNOWN, Member, chosen_column, group_columns
from haca3_bids.reports.outliers import OUTLIER, medoids, robust_distances
from haca3_bids.reports.pixels import data_uri, jpeg, middle_slice
from haca3_bids.reports.rendering import render
from haca3_bids.reports.theta import PLAIN_AXES, axes_of, position

WORST = 10  # images that are shown
SHOWN = ("brain_seen", "noise", "ghosts", "ssim", "theta_distance_after")  # worst value of a session, as columns


def group_page(members: Sequence[Member], output_dir: Path, wanted_column: str = "", notes: Sequence[str] = ()) -> str:
    """The report as self-contained HTML; ``notes`` are shown at its top."""
    columns = group_columns(members)
    if wanted_column and wanted_column not in columns:
        columns = [*columns, wanted_column]
    column = chosen_column(columns, wanted_column)
    distances = robust_distances(members)
    data, axes = page_data(members, columns, column, distances), _axes(members)
    counts = {grade: sum(member.record.verdict == grade for member in members) for grade in GRADES}
    return render(
        "group.html.j2",
        script="group.js",
        version=haca3_bids.__version__,
        data=to_json(data).replace("<", "\\u003c"),
        notes=notes,
        members=len(members),
        people=len({member.participant for member in members}),
        counts=counts,
        column=column,
        axes=axes,
        tables=axes != PLAIN_AXES,
        suggestions=medoids(members, column),
        worst=worst_images(members, distances, output_dir),
        outlier=OUTLIER,
        outliers=sum(distance is not None and distance > OUTLIER for distance, _ in distances),
    )


def page_data(
    members: Sequence[Member], columns: Sequence[str], column: str, distances: Sequence[tuple[float | None, str]]
) -> dict[str, object]:
    """The data for the script of the page, in compact form: one list per session."""
    rows = []
    others = [name for name in columns if name != "session"]
    for member, (distance, measure) in zip(members, distances, strict=True):
        worst = [_worst(member, name) for name in SHOWN]
        why = member.record.quality.reasons[0].sentence if member.record.quality.reasons else ""
        if len(member.record.quality.reasons) > 1:
            why += f" (and {len(member.record.quality.reasons) - 1} more)"
        groups = [member.groups.get(name, NOT_KNOWN) for name in others]
        away = None if distance is None else round(distance, 1)
        rows.append([member.participant, member.session, member.record.verdict, why, away, measure, *worst, *groups])
    return {
        "columns": ["participant", "session", "verdict", "reason", "distance", "farthest", *SHOWN, *others],
        "numbers": ["distance", *SHOWN],
        "groups": list(columns),
        "colour": column,
        "rows": rows,
        "points": _points(members),
        "axes": list(_axes(members)),
    }


def _axes(members: Sequence[Member]) -> tuple[str, str]:
    """The names of the axes; all sessions of a dataset have the same family of networks."""
    known = (own.theta for member in members for own in member.sources.values())
    return next(map(axes_of, known), PLAIN_AXES)


def _points(members: Sequence[Member]) -> dict[str, list[list[Any]]]:
    """For each contrast, rows of session index and position before and after (None if unknown)."""
    points: dict[str, list[list[Any]]] = {}
    for index, member in enumerate(members):
        after = {image.target.contrast: image.theta_after for image in member.record.harmonization.images}
        for contrast, own in member.sources.items():
            reached = after.get(contrast)
            points.setdefault(contrast, []).append([index, _short(own.theta), _short(reached) if reached else None])
    return points


def _short(theta: Sequence[float]) -> list[float]:
    return [round(value, 3) for value in position(theta)]


def _worst(member: Member, measure: str) -> float | None:
    known = (own.get(measure) for _, _, own in member.numbers())
    values = [value for value in known if isinstance(value, int | float)]
    if not values:
        return None
    return float(f"{max(values) if THRESHOLDS[measure].above else min(values):.4g}")


def worst_images(
    members: Sequence[Member], distances: Sequence[tuple[float | None, str]], output_dir: Path
) -> list[tuple[Member, list[str], str]]:
    """The sessions with the worst verdicts, then the farthest from the others, each with its reasons and a picture."""
    order = sorted(
        range(len(members)),
        key=lambda index: (-GRADES.index(members[index].record.verdict), -(distances[index][0] or 0.0), index),
    )
    shown: list[tuple[Member, list[str], str]] = []
    for index in order:
        member, (distance, measure) = members[index], distances[index]
        if len(shown) == WORST or (member.record.verdict == "pass" and (distance or 0) <= OUTLIER):
            break
        if picture := _picture(member, output_dir):
            why = [reason.sentence for reason in member.record.quality.reasons[:3]]
            if distance is not None and distance > OUTLIER:
                why.append(f"{measure}: {distance:.1f} robust standard deviations from the median.")
            shown.append((member, why, picture))
    return shown


def _picture(member: Member, output_dir: Path) -> str:
    """The middle slice, as a data URI, of the source named in the first reason, else of the first source."""
    slices = [one for one in member.record.figures if one.kind == "slices"]
    where = member.record.quality.reasons[0].where if member.record.quality.reasons else ""
    contrast = where.rpartition("_")[2]  # of a scan, or of a target
    slices.sort(key=lambda one: (one.contrast != contrast, not one.role.startswith("source")))
    for one in slices:
        path = output_dir / one.file
        if path.is_file():
            return data_uri(jpeg(middle_slice(path)), "image/jpeg")
    return ""
