"""The targets of a run's sessions: images are preprocessed and encoded, once for all runs on an output."""

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from haca3_bids.bids.atomic import locked, write_copy
from haca3_bids.bids.describe import claim_targets, known_targets, target_picture
from haca3_bids.errors import FileLost, Haca3Error, TemporaryFailure
from haca3_bids.execution.crash import Crash, step_in_words
from haca3_bids.execution.failed_targets import Told, check_failures, failures, known_failures, together
from haca3_bids.execution.graph import run_graph
from haca3_bids.execution.progress import progress_of
from haca3_bids.execution.select import Selection
from haca3_bids.execution.targets import TargetRequest, image_fingerprint, mean_target, take_over
from haca3_bids.execution.task import Run, engine_needs
from haca3_bids.records.files import from_json
from haca3_bids.records.target import Target, target_key
from haca3_bids.volumes.scan import check_intensities, load_scan

LOGGER = logging.getLogger("haca3_bids")
PATIENCE_S = 24 * 3600.0  # wait for another run that encodes the same target; with ECLARE this takes hours
Values = dict[str, Sequence[Target]]  # by what was typed


def with_targets(run: Run, selection: Selection) -> Run:
    """The run with the targets of its sessions, which are entered into the dataset's description."""
    encoded = encode_targets(run)
    targets = {one.name: encoded or selection.references[one.name] for one in selection.sessions}
    claim_targets(run.settings.output_dir, encoded or [one for own in targets.values() for one in own])
    plain = {name: [replace(one, fingerprint="") for one in own] for name, own in targets.items()}
    return replace(run, targets=plain)


def encode_targets(run: Run) -> list[Target]:
    """The values of all requested targets; images are preprocessed and encoded unless an earlier run did so."""
    values: Values = {request.typed: request.values for request in run.requests if request.values}
    values |= _known(run, [request for request in run.requests if not request.values])
    missing = _missing(run, values)
    if missing:
        failures = known_failures(run, missing)
        with _alone_with(run, missing):
            values |= _known(run, missing)  # another run may have encoded them in the meantime
            missing = _missing(run, values)
            check_failures(run, missing, failures)  # or failed
            if missing:
                encoded = _encode(run, missing)
                claim_targets(run.settings.output_dir, [one for own in encoded.values() for one in own])
                values |= encoded
    return [value for request in run.requests for value in values[request.typed]]


def _missing(run: Run, values: Values) -> list[TargetRequest]:
    return [request for request in run.requests if request.typed not in values]


def _known(run: Run, requests: Sequence[TargetRequest]) -> Values:
    """Values that are in the dataset already."""
    known = known_targets(run.settings.output_dir)
    found: Values = {}
    for request in requests:
        taken = take_over(request, known, image_fingerprint(request, run.settings, run.weights))
        if taken and not _lacks_picture(run, request):
            found[request.typed] = taken
    return found


def _lacks_picture(run: Run, request: TargetRequest) -> bool:
    keys = [target_key(request.name, contrast) for contrast in request.images]  # a mean has none
    pictures = [target_picture(run.settings.output_dir, key) for key in keys]
    return run.settings.quality.show_targets and not all(picture.is_file() for picture in pictures)


@contextmanager
def _alone_with(run: Run, requests: Sequence[TargetRequest]) -> Iterator[None]:
    """Hold the locks of the targets, acquired in alphabetical order so that two runs cannot deadlock."""
    with ExitStack() as stack:
        for name in sorted({request.name for request in requests}):
            try:
                stack.enter_context(locked(run.settings.output_dir, f"target-{name}", patience_s=0))
            except TemporaryFailure:
                LOGGER.info("Another run encodes the target %s; waiting for it.", name)
                stack.enter_context(locked(run.settings.output_dir, f"target-{name}", patience_s=PATIENCE_S))
        yield


def _encode(run: Run, requests: Sequence[TargetRequest]) -> Values:
    """The values of targets that are images; with the scratch files of an earlier run, unless some are missing."""
    parts = [part for request in requests for part in request.parts]
    if run.settings.execution.clean_workdir:
        _remove_scratch(run, parts)
    _check_scans(run, requests)
    resumed = any(_scratch(run, part).exists() for part in parts)
    try:
        values = _encode_once(run, requests, parts)
    except (FileLost, FileNotFoundError):
        _remove_scratch(run, parts)
        if not resumed:
            raise
        LOGGER.warning("Scratch files of an earlier run are missing; the targets are encoded anew.")
        values = _encode_once(run, requests, parts)
    if not (run.settings.execution.keep_work or run.settings.execution.debug):
        _remove_scratch(run, parts)
    return values


def _encode_once(run: Run, requests: Sequence[TargetRequest], parts: Sequence[TargetRequest]) -> Values:
    from haca3_bids.workflows.targets import init_targets_wf

    LOGGER.info("Encoding %s", ", ".join(request.typed for request in requests))
    workflow = init_targets_wf(parts, run.settings, engine_needs(run))
    workflow.base_dir = str(run.work)
    with progress_of(len(parts), "targets") as progress:
        progress.begin(workflow, len(parts))
        crashes = run_graph(workflow, run.settings, run.resources, run.logs, progress)
    if crashes:
        raise _target_error(run, requests, crashes)
    values: Values = {}
    for request in requests:
        made = image_fingerprint(request, run.settings, run.weights)
        files = [_scratch(run, part) / "encode" / "targets.json" for part in request.parts]
        encoded = [from_json(file.read_bytes(), list[Target]) for file in files]
        found = mean_target(request, encoded) if request.members else encoded[0]
        values[request.typed] = [replace(one, fingerprint=made) for one in found]
        for one in found if run.settings.quality.show_targets and request.images else ():
            drawn = _scratch(run, request) / "draw" / f"{one.contrast}.jpg"
            write_copy(drawn, target_picture(run.settings.output_dir, one.key))
    return values


def _remove_scratch(run: Run, parts: Sequence[TargetRequest]) -> None:
    for part in parts:
        shutil.rmtree(_scratch(run, part), ignore_errors=True)


def _scratch(run: Run, request: TargetRequest) -> Path:
    from haca3_bids.workflows.targets import target_workflow_name

    return run.work / "targets_wf" / target_workflow_name(request.name)


def _check_scans(run: Run, requests: Sequence[TargetRequest]) -> None:
    """Raise an error that names every image that cannot be read: preprocessing of the others takes minutes for each."""
    force = run.settings.preprocessing.force

    def unreadable(part: TargetRequest) -> Told | None:
        for path in part.images.values():
            try:
                check_intensities(load_scan(path, forced="orientation" in force), path.name)
            except Haca3Error as error:
                return step_in_words("read"), error
        return None

    if errors := failures(run, requests, unreadable):
        raise together(errors)


def _target_error(run: Run, requests: Sequence[TargetRequest], crashes: Sequence[Crash]) -> Haca3Error:
    """One error that names every target that failed."""
    from haca3_bids.workflows.targets import target_workflow_name

    def crashed(part: TargetRequest) -> Told | None:
        own = (crash for crash in crashes if crash.concerns(target_workflow_name(part.name)))
        return next(((crash.step, crash.error) for crash in own), None)

    return together(failures(run, requests, crashed) or [crash.error for crash in crashes])
