"""Processing the sessions of a run: encode the targets, skip what is finished, run the graph, say how each ended."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from haca3_bids import __version__
from haca3_bids.bids.atomic import locked, write_copy
from haca3_bids.bids.derivatives import Context
from haca3_bids.bids.describe import claim_targets, known_targets, target_picture
from haca3_bids.bids.discover import Session
from haca3_bids.bids.given import find_given
from haca3_bids.bids.record import is_finished, record_path, write_failure
from haca3_bids.errors import Haca3Error, TemporaryFailure
from haca3_bids.execution.crash import Crash
from haca3_bids.execution.environment import set_threads
from haca3_bids.execution.frames import Visits, shared_frames, with_visits
from haca3_bids.execution.graph import configure_nipype, run_graph
from haca3_bids.execution.outcome import DONE, FAILED, FINISHED, Outcome
from haca3_bids.execution.pages import write_pages
from haca3_bids.execution.resources import Resources
from haca3_bids.execution.select import Selection
from haca3_bids.execution.targets import (
    Target,
    TargetRequest,
    default_targets,
    image_fingerprint,
    take_over,
)
from haca3_bids.execution.weights import Weights, with_weights
from haca3_bids.preprocessing.template import SPACES
from haca3_bids.settings import Settings, fingerprint

LOGGER = logging.getLogger("haca3_bids")
STOPPED = "The run stopped before this session was through."


@dataclass(frozen=True)
class Run:
    """A run after all checks."""

    settings: Settings
    weights: Weights
    requests: tuple[TargetRequest, ...]
    resources: Resources
    logs: Path
    work: Path
    command: str
    methods: tuple[str, ...]
    visits: Visits = field(default_factory=dict)  # sessions that share a frame, by subject

    def fingerprint(self, session: Session) -> str:
        """Of everything that can change an output of this session; visits that share a frame are part of it."""
        return with_visits(self._fingerprint, self.visits.get(session.subject, ()))

    @cached_property
    def _fingerprint(self) -> str:
        made = dataclasses.replace(
            self.settings,
            harmonization=dataclasses.replace(self.settings.harmonization, variant=self.weights.variant),
        )
        return fingerprint(
            made,
            weights_sha256=self.weights.sha256,
            fusion_sha256=self.weights.fusion_sha256 or self.weights.fusion,
            version=__version__,
        )

    @property
    def space(self) -> str:
        """Label of the template's space."""
        return SPACES[self.settings.preprocessing.template]


def process(run: Run, selection: Selection, stack: ExitStack) -> list[Outcome]:
    """Process the sessions and return how each ended; ``stack`` keeps the subjects' locks until the run ends."""
    from haca3_bids.workflows.participant import init_participant_wf

    resources = run.resources
    LOGGER.info(
        "Up to %d processes, %d threads each, %.1f GB; scratch in %s",
        resources.nprocs,
        resources.threads,
        resources.memory_gb,
        run.work,
    )
    set_threads(resources.threads)
    run = dataclasses.replace(run, settings=_as_planned(run), visits=shared_frames(selection.sessions, run.settings))
    configure_nipype(run.settings, run.logs)
    targets = encode_targets(run)
    claim_targets(run.settings.output_dir, targets or _defaults(selection, run))
    free, outcomes = _lock_subjects(run, selection.sessions, stack)
    waiting: list[Session] = []
    for session in free:
        if not run.settings.execution.reprocess and is_finished(
            run.settings.output_dir, session, run.fingerprint(session), targets or default_targets(session, run.weights)
        ):
            outcomes.append(Outcome(session.name, FINISHED))
        else:
            waiting.append(session)
    if waiting:
        plans = [_plan(run, session, targets) for session in waiting]
        workflow = init_participant_wf(plans, run.settings, engine_needs(run))
        workflow.base_dir = str(run.work)
        before = {session.name: _written(run, session) for session in waiting}
        crashes = run_graph(workflow, run.settings, run.resources, run.logs)
        outcomes += [_outcome(run, one, crashes, targets, _written(run, one) != before[one.name]) for one in waiting]
    _leave_failures(run, selection, outcomes)
    write_pages(run.settings, list(dict.fromkeys(session.subject for session in (*free, *selection.failed))))
    return outcomes


def _as_planned(run: Run) -> Settings:
    """The settings with weights resolved to files, threads as planned, and the device that was found."""
    settings, threads = run.settings, run.resources.threads
    return dataclasses.replace(
        settings,
        preprocessing=dataclasses.replace(settings.preprocessing, threads=threads, device=run.weights.device),
        harmonization=dataclasses.replace(with_weights(settings.harmonization, run.weights), threads=threads),
    )


def engine_needs(run: Run) -> Any:
    """How the process of the networks is placed."""
    from haca3_bids.workflows.harmonize import EngineNeeds

    use_gpu = run.weights.device.startswith("cuda")
    return EngineNeeds(run.weights.digest, run.resources.threads, use_gpu)


def _defaults(selection: Selection, run: Run) -> list[Target]:
    found = {
        str(target["contrast"]): target
        for session in selection.sessions
        for target in default_targets(session, run.weights)
    }
    return list(found.values())


def encode_targets(run: Run) -> list[Target]:
    """The values of all targets that were asked for; images are preprocessed and encoded, unless known already."""
    known = known_targets(run.settings.output_dir)
    values: dict[str, Sequence[Target]] = {}
    missing: list[TargetRequest] = []
    for request in run.requests:
        if request.values:
            values[request.typed] = request.values
            continue
        made = image_fingerprint(request, run.settings, run.weights)
        values[request.typed] = take_over(request, known, made)
        if not values[request.typed] or _lacks_picture(run, request):
            missing.append(request)
    if missing:
        values |= _encode(run, missing)
    return [dict(value) for request in run.requests for value in values[request.typed]]


def _lacks_picture(run: Run, request: TargetRequest) -> bool:
    targets = [{"name": request.name, "contrast": contrast} for contrast in request.images]
    pictures = [target_picture(run.settings.output_dir, target) for target in targets]
    return run.settings.quality.show_targets and not all(picture.is_file() for picture in pictures)


def _encode(run: Run, requests: Sequence[TargetRequest]) -> dict[str, Sequence[Target]]:
    from haca3_bids.workflows.targets import TargetImages, init_targets_wf, target_workflow_name

    LOGGER.info("Encoding %s", ", ".join(request.typed for request in requests))
    images = [TargetImages(request.name, request.images) for request in requests]
    workflow = init_targets_wf(images, run.settings, engine_needs(run))
    workflow.base_dir = str(run.work)
    crashes = run_graph(workflow, run.settings, run.resources, run.logs)
    if crashes:
        raise _target_error(crashes[0])
    values: dict[str, Sequence[Target]] = {}
    for request in requests:
        place = run.work / workflow.name / target_workflow_name(request.name) / "encode" / "targets.json"
        made = image_fingerprint(request, run.settings, run.weights)
        found = json.loads(place.read_text())
        values[request.typed] = [one | {"fingerprint": made} for one in found]
        for one in found if run.settings.quality.show_targets else ():
            drawn = place.parent.parent / "draw" / f"{one['contrast']}.jpg"
            write_copy(drawn, target_picture(run.settings.output_dir, one))
    return values


def _target_error(crash: Crash) -> Haca3Error:
    sentence = f"A target could not be made, while {crash.step}: {crash.error.sentence}"
    return type(crash.error)(sentence, crash.error.hint)


def _lock_subjects(run: Run, sessions: Sequence[Session], stack: ExitStack) -> tuple[list[Session], list[Outcome]]:
    """Lock each subject until the run ends; sessions of subjects that another process holds have failed for now."""
    held: dict[str, TemporaryFailure | None] = {}
    for subject in dict.fromkeys(session.subject for session in sessions):
        try:
            stack.enter_context(locked(run.settings.output_dir, f"sub-{subject}", patience_s=0))
            held[subject] = None
        except TemporaryFailure as error:
            held[subject] = error
    free = [session for session in sessions if held[session.subject] is None]
    outcomes = [
        Outcome(session.name, FAILED, "waiting for its lock", held[session.subject])
        for session in sessions
        if held[session.subject] is not None
    ]
    return free, outcomes


def _plan(run: Run, session: Session, targets: Sequence[Target]) -> Any:
    from haca3_bids.workflows.participant import SessionPlan

    context = Context(
        session=session,
        bids_dir=run.settings.bids_dir,
        output_dir=run.settings.output_dir,
        space=run.space,
        version=__version__,
        fingerprint=run.fingerprint(session),
        command=run.command,
        methods=run.methods,
    )
    visits = run.visits.get(session.subject, ())
    given = find_given(run.settings.selection.derivatives, session, run.space)
    if visits and "to_template" in given:
        del given["to_template"]
        LOGGER.info("%s: its transform to the template is not taken over, for it shares a frame", session.name)
    for kind, path in given.items():
        LOGGER.info("%s: %s is taken from %s", session.name, kind, path)
    wanted = [_engine_target(target) for target in targets or default_targets(session, run.weights)]
    return SessionPlan(context, wanted, given, {visit.name: visit.images[visit.reference].path for visit in visits})


def _engine_target(target: Mapping[str, Any]) -> Target:
    return {key: value for key, value in target.items() if key != "fingerprint"}


def _written(run: Run, session: Session) -> int:
    """When the session's record was written, in nanoseconds; 0 where there is none."""
    path = record_path(run.settings.output_dir, session)
    return path.stat().st_mtime_ns if path.exists() else 0


def _outcome(run: Run, session: Session, crashes: Sequence[Crash], targets: Sequence[Target], written: bool) -> Outcome:
    from haca3_bids.workflows.longitudinal import frame_workflow_name
    from haca3_bids.workflows.participant import workflow_name

    name = workflow_name(session)
    ways = (name, frame_workflow_name(session.subject))
    own = [crash for crash in crashes if any(crash.concerns(way) for way in ways)]
    wanted = targets or default_targets(session, run.weights)
    if own:
        return Outcome(session.name, FAILED, own[0].step, own[0].error, own[0].file)
    if not written or not is_finished(run.settings.output_dir, session, run.fingerprint(session), wanted):
        error = Haca3Error(STOPPED, "Run the same command again.")
        return Outcome(session.name, FAILED, "", error, run.logs / "log.txt")
    if not (run.settings.execution.keep_work or run.settings.execution.debug):
        for way in ways:
            shutil.rmtree(run.work / "haca3_wf" / way, ignore_errors=True)
    return Outcome(session.name, DONE)


def _leave_failures(run: Run, selection: Selection, outcomes: Sequence[Outcome]) -> None:
    """Leave a record of each failure for its page."""
    sessions = {session.name: session for session in (*selection.sessions, *selection.failed)}
    for outcome in (*selection.outcomes, *outcomes):
        if outcome.status != FAILED or outcome.name not in sessions or outcome.error is None:
            continue
        if isinstance(outcome.error, TemporaryFailure) and outcome.log is None:
            continue  # another process is at it: its record is not ours to write
        write_failure(
            run.settings.output_dir,
            run.settings.bids_dir,
            sessions[outcome.name],
            error=outcome.error,
            step=outcome.step,
            version=__version__,
            command=run.command,
        )
