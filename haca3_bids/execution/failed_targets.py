"""Errors of targets that cannot be encoded, and notes for runs that wait: they would fail on the same images."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from haca3_bids.bids.atomic import lock_folder, write_text
from haca3_bids.errors import BadInput, Failure, Haca3Error
from haca3_bids.execution.targets import TargetRequest, image_fingerprint
from haca3_bids.execution.task import Run
from haca3_bids.records.files import read_record, to_readable_json

MOST_TOLD = 5  # failures in one message
Told = tuple[str, Haca3Error]  # a step in words, and its error


@dataclass(frozen=True)
class FailedTarget:
    """The failure of one attempt to encode a target."""

    fingerprint: str  # of its images and settings
    failure: Failure
    attempt: str  # random, so that a new failure differs from an earlier one


def note_failure(run: Run, request: TargetRequest, error: Haca3Error) -> None:
    """Write a note on a target that cannot be encoded; its lock is held."""
    made_by = image_fingerprint(request, run.settings, run.weights)
    note = FailedTarget(made_by, error.failure(), secrets.token_hex(8))
    write_text(_path(run, request), to_readable_json(note))


def failures(
    run: Run, requests: Sequence[TargetRequest], error_of: Callable[[TargetRequest], Told | None]
) -> list[Haca3Error]:
    """The errors of all targets that failed, with their names; if the images of one are the cause, there is a note.

    ``error_of`` finds that of the images of a target, or of one member of a mean.
    """
    told: list[Haca3Error] = []
    for request in requests:
        found = [(part, error_of(part)) for part in request.parts]
        own = [_named(request, part, *failure) for part, failure in found if failure is not None]
        if own and all(isinstance(error, BadInput) for error in own):
            note_failure(run, request, together(own))
        told += own
    return told


def _named(request: TargetRequest, part: TargetRequest, step: str, error: Haca3Error) -> Haca3Error:
    images = ", ".join(path.name for path in part.images.values())
    sentence = f"--target {request.typed} could not be encoded ({images}, while {step}): {error.sentence}"
    return type(error)(sentence, error.hint)


def together(errors: Sequence[Haca3Error]) -> Haca3Error:
    """One error with the sentences and hints of the first of them."""
    if len(errors) == 1:
        return errors[0]
    sentences = [error.sentence for error in errors[:MOST_TOLD]]
    if len(errors) > MOST_TOLD:
        sentences.append(f"{len(errors) - MOST_TOLD} more failed.")
    hints = dict.fromkeys(error.hint for error in errors[:MOST_TOLD] if error.hint)
    return type(errors[0])("\n  ".join(sentences), " ".join(hints))


def known_failures(run: Run, requests: Sequence[TargetRequest]) -> dict[str, FailedTarget | None]:
    """The last failure of each target by its name."""
    return {request.name: read_record(_path(run, request), FailedTarget) for request in requests}


def check_failures(run: Run, requests: Sequence[TargetRequest], before: Mapping[str, FailedTarget | None]) -> None:
    """Raise the error of another run on the same images that failed since ``before``, while this one waited."""
    for request in requests:
        found = known_failures(run, [request])[request.name]
        if found is None or found == before.get(request.name):
            continue
        if found.fingerprint == image_fingerprint(request, run.settings, run.weights):
            raise found.failure.error()


def _path(run: Run, request: TargetRequest) -> Path:
    return lock_folder(run.settings.output_dir) / f"target-{request.name}.failed.json"
