"""Notes on targets that cannot be encoded, for runs that wait for them: they would fail on the same images."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from haca3_bids.bids.atomic import lock_folder, write_text
from haca3_bids.errors import Failure, Haca3Error
from haca3_bids.execution.targets import TargetRequest, image_fingerprint
from haca3_bids.execution.task import Run
from haca3_bids.records.files import read_record, to_readable_json


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
