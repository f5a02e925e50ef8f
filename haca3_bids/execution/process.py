"""The sessions of a run, a few at a time: lock, plan, run, judge, publish."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from haca3_bids.bids.discover import Session
from haca3_bids.bids.leftovers import remove_partial_sessions
from haca3_bids.bids.names import some_of
from haca3_bids.bids.record import is_finished, record_path
from haca3_bids.errors import FileLost, Haca3Error
from haca3_bids.execution.crash import Crash
from haca3_bids.execution.graph import run_graph
from haca3_bids.execution.interrupt import stop_children
from haca3_bids.execution.lock import in_rounds, parts_of, sessions_at_once
from haca3_bids.execution.outcome import DONE, FAILED, Outcome
from haca3_bids.execution.plan import plan_sessions
from haca3_bids.execution.progress import Progress, progress_of
from haca3_bids.execution.publish import publish
from haca3_bids.execution.room import warn_if_short
from haca3_bids.execution.select import Selection
from haca3_bids.execution.task import Run, engine_needs, node_names, session_scratch

if TYPE_CHECKING:
    from haca3_bids.workflows.participant import SessionPlan

LOGGER = logging.getLogger("haca3_bids")
STOPPED = Haca3Error("The run stopped before this session was finished.", "Run the same command again.")


def process(run: Run, selection: Selection) -> list[Outcome]:
    """Process the selected sessions, write their records and pages, and return the outcomes."""
    execution, resources = run.settings.execution, run.resources
    LOGGER.info(
        "Up to %d processes, %d threads each, %.1f GB; scratch in %s",
        resources.nprocs,
        resources.threads,
        resources.memory_gb,
        run.work,
    )
    warn_if_short(run, selection.sessions)
    failed = {outcome.name: outcome for outcome in selection.outcomes if outcome.status == FAILED}
    crashed: list[Outcome] = []

    def work(sessions: list[Session]) -> list[Outcome] | None:
        if crashed and execution.stop_on_first_crash:
            return None
        remove_partial_sessions(run.settings.output_dir, sessions)
        plans, outcomes = plan_sessions(run, [session for session in sessions if session.name not in failed])
        known = [failed[session.name] for session in sessions if session.name in failed]
        progress.done(len(known) + len(outcomes))
        ended = publish(run, sessions, [*known, *outcomes, *_run(run, plans, progress)])
        crashed.extend(one for one in ended if one.status == FAILED)
        return ended

    everyone = [*selection.sessions, *selection.failed]
    parts, size = parts_of(everyone, run.visits), sessions_at_once(None if execution.plugin_file else resources.nprocs)
    with progress_of(len(everyone)) as progress:
        ended = {one.name: one for one in in_rounds(run.settings.output_dir, parts, size, work)}
    return [ended.get(session.name) or _stopped(run, session) for session in selection.sessions]


def _run(run: Run, plans: Sequence[SessionPlan], progress: Progress) -> list[Outcome]:
    """Run the graph of the sessions and return the outcome of each.

    A session whose scratch files of an earlier run are incomplete, as after a cleaning, starts anew.
    """
    if run.settings.execution.clean_workdir:
        _remove_scratch(run, [plan.session for plan in plans])
    resumed = [plan for plan in plans if any(folder.exists() for folder in session_scratch(run, plan.session))]
    ended = {one.name: one for one in _run_once(run, plans, progress)}
    again = [plan for plan in resumed if isinstance(ended[plan.session.name].error, FileLost)]
    if again:
        names = some_of([plan.session.name for plan in again])
        LOGGER.warning("Scratch files of an earlier run are missing. These sessions start anew: %s.", names)
        ended |= {one.name: one for one in _run_once(run, again, progress)}
    return list(ended.values())


def _run_once(run: Run, plans: Sequence[SessionPlan], progress: Progress) -> list[Outcome]:
    from haca3_bids.workflows.participant import init_participant_wf

    if not plans:
        return []
    workflow = init_participant_wf(plans, run.settings, engine_needs(run))
    workflow.base_dir = str(run.work)
    before = [_written(run, plan.session) for plan in plans]
    progress.begin(workflow, len(plans))
    crashes = _steps(run, workflow, [plan.session for plan in plans], progress)
    ended = [
        _judged(run, plan, crashes, written=_written(run, plan.session) != earlier)
        for plan, earlier in zip(plans, before, strict=True)
    ]
    useless = {one.name for one in ended if isinstance(one.error, FileLost)}
    if not (run.settings.execution.keep_work or run.settings.execution.debug):
        useless |= {one.name for one in ended if one.status == DONE}
    _remove_scratch(run, [plan.session for plan in plans if plan.session.name in useless])
    return ended


def _steps(run: Run, workflow: Any, sessions: Sequence[Session], progress: Progress) -> Sequence[Crash]:
    """Run the graph; where it ends early, nothing half-written stays."""
    try:
        return run_graph(workflow, run.settings, run.resources, run.logs, progress)
    except KeyboardInterrupt:
        stop_children()
        raise
    finally:
        remove_partial_sessions(run.settings.output_dir, sessions)


def _judged(run: Run, plan: SessionPlan, crashes: Sequence[Crash], written: bool) -> Outcome:
    """The outcome of one session from the crashes of its steps and its record; ``written``: whether that is new."""
    session = plan.session
    own = [crash for name in node_names(run, session) for crash in crashes if crash.concerns(name)]
    if own:
        return Outcome(session.name, FAILED, own[0].step, own[0].error, own[0].file)
    if not written or not is_finished(plan.context, plan.targets):
        return _stopped(run, session)
    return Outcome(session.name, DONE)


def _stopped(run: Run, session: Session) -> Outcome:
    return Outcome(session.name, FAILED, "", STOPPED, run.logs / "log.txt")


def _written(run: Run, session: Session) -> int:
    """Modification time of the session's record in nanoseconds; 0 if there is none."""
    path = record_path(run.settings.output_dir, session)
    return path.stat().st_mtime_ns if path.exists() else 0


def _remove_scratch(run: Run, sessions: Sequence[Session]) -> None:
    for session in sessions:
        for folder in session_scratch(run, session):
            shutil.rmtree(folder, ignore_errors=True)
