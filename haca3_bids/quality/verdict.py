"""Quality numbers and verdict of a session, from its record."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace

from haca3_bids.errors import Failure
from haca3_bids.quality.thresholds import GRADES, LOOK, PASS, Threshold, with_changes
from haca3_bids.records.preprocessing import Preprocessing, ScanFacts
from haca3_bids.records.session import Change, Numbers, Quality, Reason, SessionRecord
from haca3_bids.records.target import target_in_words


def judge(preprocessing: Preprocessing, images: Mapping[str, Numbers], changes: Iterable[Change] = ()) -> Quality:
    """The verdict on a session, with all numbers; ``images`` are those of its harmonized images, by target."""
    return judged_again(_numbers(preprocessing, images), changes)


def judged_again(quality: Quality, changes: Iterable[Change]) -> Quality:
    """The same numbers judged by changed limits."""
    changes = tuple(changes)
    reasons = sorted(_reasons(quality, with_changes(changes)), key=lambda reason: -GRADES.index(reason.grade))
    verdict = reasons[0].grade if reasons else PASS
    return replace(quality, verdict=verdict, reasons=tuple(reasons), thresholds_changed=changes)


def record_judged_again(record: SessionRecord, changes: Iterable[Change]) -> SessionRecord:
    """The record with its numbers judged by changed limits; the record of a failure is not changed.

    A finished session whose last run failed does not pass; this is its first reason.
    """
    if not record.is_done:
        return record
    quality = judged_again(record.quality, changes)
    return replace(record, quality=quality if record.error is None else _with_failure(quality, record.error))


def _with_failure(quality: Quality, failure: Failure) -> Quality:
    sentence = f"The last run failed: {failure.sentence.rstrip('.')}; these images are from an earlier run."
    verdict = max(quality.verdict, LOOK, key=GRADES.index)
    return replace(quality, verdict=verdict, reasons=(Reason("error", LOOK, sentence), *quality.reasons))


def _numbers(preprocessing: Preprocessing, images: Mapping[str, Numbers]) -> Quality:
    session: Numbers = {}
    if (found := preprocessing.registration) is not None:
        session = {
            "registration_similarity": found.similarity,
            "registration_distinctness": found.distinctness,
            "registration_uncertainty_deg": found.uncertainty_deg,
            "registration_rotation_deg": found.rotation_deg,
            "brain_in_head": found.brain_in_head,
            "brain_covered": found.brain_covered,
            "rigid_shift_mm": found.rigid_shift_mm,
            "rigid_turn_deg": found.rigid_turn_deg,
        }
    scans = {
        contrast: _scan(own, contrast == preprocessing.reference) for contrast, own in preprocessing.contrasts.items()
    }
    return Quality(session=session, scans=scans, images=images)


def _scan(own: ScanFacts, is_reference: bool) -> Numbers:
    registered: Numbers = {
        "coregistration_similarity": own.coregistration_similarity,
        "coregistration_distinctness": own.coregistration_distinctness,
    }
    known: Numbers = {
        "white_matter_peak": own.white_matter_peak,
        "white_matter_peak_raw": own.white_matter_peak_raw,
        "coverage": own.coverage,
        **({"orientation_assumed": 1} if own.orientation_assumed else {}),
    }
    return {**({} if is_reference else registered), **known, **asdict(own.quality)}


def _reasons(quality: Quality, table: Mapping[str, Threshold]) -> Iterator[Reason]:
    for place, where, own in quality.places():
        for measure, threshold in table.items():
            value = own.get(measure)
            if threshold.place != place or not isinstance(value, int | float):
                continue
            grade, limit = threshold.grade(value)
            if limit is not None:
                yield Reason(measure, grade, _sentence(threshold, own, where, value, limit), where, value, limit)


def _sentence(threshold: Threshold, own: Numbers, where: str, value: float, limit: float) -> str:
    named = f"{target_in_words(where) if threshold.place == 'image' else where}: " if where else ""
    likely = own.get("likely_contrast")
    words = threshold.words + (f"; it looks like {likely}" if threshold.measure == "name_margin" and likely else "")
    side = "above" if threshold.above else "below"
    sentence = f"{named}{words} ({threshold.measure.replace('_', ' ')} {value:.3g}, {side} {limit:.3g})."
    return sentence[0].upper() + sentence[1:]
