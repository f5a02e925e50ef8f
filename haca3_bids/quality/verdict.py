"""Quality numbers and verdict of a session, from its record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from haca3_bids.quality.thresholds import Reason, Threshold, Verdict, with_changes

Record = Mapping[str, Any]
Change = tuple[str, float | None, float | None]


def judge(preprocessing: Record, images: Mapping[str, Record] | None = None, changes: Iterable[Change] = ()) -> Verdict:
    """The verdict on a session from its preprocessing record and the numbers of its harmonized images."""
    return Verdict.of(_reasons(quality_numbers(preprocessing, images or {}), with_changes(changes)))


def quality_block(
    preprocessing: Record, images: Mapping[str, Record], changes: Iterable[Change] = ()
) -> dict[str, Any]:
    """The part ``quality`` of a session's record: verdict, reasons, limits that were changed, and all numbers."""
    return rejudged(quality_numbers(preprocessing, images), changes)


def rejudged(block: Record, changes: Iterable[Change]) -> dict[str, Any]:
    """The same numbers judged by other limits."""
    changes = [(measure, look, fail) for measure, look, fail in changes]
    numbers = {part: block.get(part) or {} for part in ("session", "scans", "images")}
    verdict = Verdict.of(_reasons(numbers, with_changes(changes)))
    described: dict[str, Any] = {"verdict": verdict.grade, "reasons": [asdict(reason) for reason in verdict.reasons]}
    return described | {"thresholds_changed": [list(change) for change in changes]} | numbers


def quality_numbers(preprocessing: Record, images: Mapping[str, Record]) -> dict[str, Any]:
    """All numbers of a session: ``session``, ``scans`` by contrast and ``images`` by target."""
    registration = preprocessing.get("registration") or {}
    session = {
        "registration_similarity": registration.get("similarity"),
        "registration_distinctness": registration.get("distinctness"),
        "registration_uncertainty_deg": registration.get("uncertainty_deg"),
        "brain_in_head": registration.get("brain_in_head"),
        "brain_covered": registration.get("brain_covered"),
        "rigid_shift_mm": registration.get("rigid_shift_mm"),
        "rigid_turn_deg": registration.get("rigid_turn_deg"),
    }
    scans = {
        contrast: _scan(own, contrast == preprocessing.get("reference"))
        for contrast, own in (preprocessing.get("contrasts") or {}).items()
    }
    return {"session": session, "scans": scans, "images": {key: dict(image) for key, image in images.items()}}


def _scan(own: Record, is_reference: bool) -> dict[str, Any]:
    registered = {
        "coregistration_similarity": own.get("registration_similarity"),
        "coregistration_distinctness": own.get("registration_distinctness"),
    }
    known = {key: own.get(key) for key in ("white_matter_peak", "white_matter_peak_raw", "coverage")}
    known |= {"orientation_assumed": 1} if own.get("orientation_assumed") else {}
    return ({} if is_reference else registered) | known | dict(own.get("quality") or {})


def _reasons(numbers: Record, table: Mapping[str, Threshold]) -> Iterator[Reason]:
    yield from _of_one(numbers["session"], "session", "", table)
    for place, part in (("scan", "scans"), ("image", "images")):
        for where, own in numbers[part].items():
            yield from _of_one(own, place, where, table)


def _of_one(own: Record, place: str, where: str, table: Mapping[str, Threshold]) -> Iterator[Reason]:
    for measure, threshold in table.items():
        value = own.get(measure)
        if threshold.place != place or not isinstance(value, int | float):
            continue
        grade, limit = threshold.grade(value)
        if limit is not None:
            yield Reason(measure, grade, _sentence(threshold, own, where, value, limit), where, value, limit)


def _sentence(threshold: Threshold, own: Record, where: str, value: float, limit: float) -> str:
    named = f"{where}: " if where else ""
    likely = own.get("likely_contrast")
    words = threshold.words + (f", but like a {likely}" if threshold.measure == "name_margin" and likely else "")
    side = "above" if threshold.above else "below"
    sentence = f"{named}{words} ({threshold.measure.replace('_', ' ')} {value:.3g}, {side} {limit:.3g})."
    return sentence[0].upper() + sentence[1:]
