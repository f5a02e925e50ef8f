"""Processing the sessions of a run: encode the targets, skip what is finished, run the graph, say how each ended."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from haca3_bids import __version__
from haca3_bids.bids.describe import claim_targets
from haca3_bids.bids.discover import Session
from haca3_bids.bids.given import find_given
from haca3_bids.bids.record import Context, is_finished, keep_stamps, record_path, write_failure
from haca3_bids.errors import BadInput, Haca3Error
from haca3_bids.execution.crash import Crash
from haca3_bids.execution.encoding import encode_targets
from haca3_bids.execution.environment import set_threads
from haca3_bids.execution.frames import shared_frames
from haca3_bids.execution.graph import configure_nipype, run_graph
from haca3_bids.execution.outcome import DONE, FAILED, FINISHED, Outcome
from haca3_bids.execution.pages import judge_again, write_pages
from haca3_bids.execution.rounds import Part, in_rounds, parts_of, subjects_at_once
from haca3_bids.execution.select import Selection
from haca3_bids.execution.targets import default_targets
from haca3_bids.execution.task import Run, engine_needs, node_names, session_scratch
from haca3_bids.records.target import Target

if TYPE_CHECKING:
    from haca3_bids.workflows.participant import SessionPlan

LOGGER = logging.getLogger("haca3_bids")
STOPPED = "The run stopped before this session was through."


def process(run: Run, selection: Selection) -> list[Outcome]:
    """Process the sessions, leave a record of every failure and the pages, and return how each session ended."""
    resources = run.resources
    LOGGER.info(
        "Up to %d processes, %d threads each, %.1f GB; scratch in %s",
        resources.nprocs,
        resources.threads,
        resources.memory_gb,
        run.work,
    )
    set_threads(resources.threads)
    run = replace(run.as_planned(), visits=shared_frames(selection.sessions, run.settings))
    configure_nipype(run.settings, run.logs)
    targets = encode_targets(run)
    claim_targets(run.settings.output_dir, targets or _defaults(selection, run))
    failed = {outcome.name: outcome for outcome in selection.outcomes if outcome.status == FAILED}
    stop = run.settings.execution.stop_on_first_crash
    stopped: list[Outcome] = []

    def work(parts: list[Part]) -> list[Outcome] | None:
        if stopped:
            return None
        outcomes = _round(run, parts, targets, failed)
        stopped.extend(one for one in outcomes if stop and one.status == FAILED)
        return outcomes

    everyone = parts_of([*selection.sessions, *selection.failed])
    size = subjects_at_once(None if run.settings.execution.plugin_file else resources.nprocs)
    ended = {one.name: one for one in in_rounds(run.settings.output_dir, everyone, size, work)}
    return [ended.get(session.name) or _stopped(run, session) for session in selection.sessions]


def _defaults(selection: Selection, run: Run) -> list[Target]:
    found = {
        target.contrast: target for session in selection.sessions for target in default_targets(session, run.weights)
    }
    return list(found.values())


def _round(run: Run, parts: Sequence[Part], targets: Sequence[Target], failed: Mapping[str, Outcome]) -> list[Outcome]:
    """How the sessions of a few subjects ended, whose locks are held; records and pages are written."""
    sessions = [session for part in parts for session in part.sessions]
    outcomes = [failed[session.name] for session in sessions if session.name in failed]
    plans: list[SessionPlan] = []
    for session in sessions:
        if session.name in failed:
            continue
        try:
            if _taken_over(run, session, targets):
                outcomes.append(Outcome(session.name, FINISHED))
            else:
                plans.append(_plan(run, session, targets))
        except (Haca3Error, OSError) as error:
            outcomes.append(Outcome(session.name, FAILED, "looking at what there is of it", _as_expected(error)))
    outcomes += _processed(run, plans, targets) if plans else []
    _leave_failures(run, sessions, outcomes)
    write_pages(run.settings, [part.subject for part in parts])
    return outcomes


def _taken_over(run: Run, session: Session, targets: Sequence[Target]) -> bool:
    """Whether an earlier run finished the session; its verdict is then by the limits of this one."""
    if run.settings.execution.reprocess or not _is_finished(run, session, targets):
        return False
    keep_stamps(run.settings.output_dir, session)
    judge_again(record_path(run.settings.output_dir, session), run.settings)
    return True


def _as_expected(error: Haca3Error | OSError) -> Haca3Error:
    if isinstance(error, Haca3Error):
        return error
    name = Path(str(error.filename)).name if error.filename else "A file"
    return BadInput(f"{name} cannot be read or written ({error.strerror}).", "Check its owner and permissions.")


def _processed(run: Run, plans: Sequence[SessionPlan], targets: Sequence[Target]) -> list[Outcome]:
    """How the sessions ended, after the graph of all of them was run."""
    from haca3_bids.workflows.participant import init_participant_wf

    sessions = [plan.session for plan in plans]
    workflow = init_participant_wf(plans, run.settings, engine_needs(run))
    workflow.base_dir = str(run.work)
    if run.settings.execution.clean_workdir:
        _remove_scratch(run, sessions)
    before = {session.name: _written(run, session) for session in sessions}
    crashes = run_graph(workflow, run.settings, run.resources, run.logs)
    return [_outcome(run, one, crashes, targets, _written(run, one) != before[one.name]) for one in sessions]


def _is_finished(run: Run, session: Session, targets: Sequence[Target]) -> bool:
    wanted = targets or default_targets(session, run.weights)
    return is_finished(run.settings.output_dir, session, run.fingerprint(session), wanted)


def _plan(run: Run, session: Session, targets: Sequence[Target]) -> SessionPlan:
    from haca3_bids.workflows.participant import SessionPlan

    context = replace(_context(run, session), fingerprint=run.fingerprint(session))
    visits = run.visits.get(session.subject, ())
    given = find_given(run.settings.selection.derivatives, session, run.space)
    if visits and "to_template" in given:
        del given["to_template"]
        LOGGER.info("%s: its transform to the template is not taken over, for it shares a frame", session.name)
    for kind, path in given.items():
        LOGGER.info("%s: %s is taken from %s", session.name, kind, path)
    wanted = [replace(target, fingerprint="") for target in targets or default_targets(session, run.weights)]
    return SessionPlan(context, wanted, given, {visit.name: visit.images[visit.reference].path for visit in visits})


def _context(run: Run, session: Session) -> Context:
    settings = run.settings
    return Context(
        session, settings.bids_dir, settings.output_dir, run.space, __version__, run.command, methods=run.methods
    )


def _written(run: Run, session: Session) -> int:
    """When the session's record was written, in nanoseconds; 0 where there is none."""
    path = record_path(run.settings.output_dir, session)
    return path.stat().st_mtime_ns if path.exists() else 0


def _outcome(run: Run, session: Session, crashes: Sequence[Crash], targets: Sequence[Target], written: bool) -> Outcome:
    own = [crash for crash in crashes if any(crash.concerns(name) for name in node_names(session))]
    if own:
        return Outcome(session.name, FAILED, own[0].step, own[0].error, own[0].file)
    if not written or not _is_finished(run, session, targets):
        return _stopped(run, session)
    if not (run.settings.execution.keep_work or run.settings.execution.debug):
        _remove_scratch(run, [session])
    return Outcome(session.name, DONE)


def _stopped(run: Run, session: Session) -> Outcome:
    error = Haca3Error(STOPPED, "Run the same command again.")
    return Outcome(session.name, FAILED, "", error, run.logs / "log.txt")


def _remove_scratch(run: Run, sessions: Sequence[Session]) -> None:
    for session in sessions:
        for folder in session_scratch(run, session):
            shutil.rmtree(folder, ignore_errors=True)


def _leave_failures(run: Run, sessions: Sequence[Session], outcomes: Sequence[Outcome]) -> None:
    """Leave a record of each failure for its page."""
    by_name = {session.name: session for session in sessions}
    for outcome in outcomes:
        if outcome.status == FAILED and outcome.error is not None:
            write_failure(_context(run, by_name[outcome.name]), outcome.error.failure(outcome.step))
