"""The outcome of each processed session, from the crashes of its steps and from its record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from haca3_bids.bids.atomic import write_json
from haca3_bids.bids.discover import Session
from haca3_bids.bids.record import is_finished, read_session, stamps
from haca3_bids.errors import Haca3Error
from haca3_bids.execution.crash import Crash
from haca3_bids.execution.outcome import DONE, FAILED, Outcome
from haca3_bids.execution.task import Run, node_names
from haca3_bids.quality.verdict import record_judged_again
from haca3_bids.settings import Settings

if TYPE_CHECKING:
    from haca3_bids.workflows.participant import SessionPlan

STOPPED = Haca3Error("The run stopped before this session was finished.", "Run the same command again.")


def judge_session(run: Run, plan: SessionPlan, crashes: Sequence[Crash], written: bool) -> Outcome:
    """The outcome of one session; ``written`` is true if its record is new."""
    session = plan.session
    own = [crash for crash in crashes if any(crash.concerns(name) for name in node_names(session))]
    if own:
        return Outcome(session.name, FAILED, own[0].step, own[0].error, own[0].file)
    if not written or not is_finished(plan.context, plan.targets):
        return stopped(run, session)
    return Outcome(session.name, DONE)


def judge_again(path: Path, settings: Settings, session: Session | None = None) -> None:
    """Update the verdict of a record to the limits of this run, and its stamps to the inputs of ``session``.

    With new stamps, inputs whose modification time has changed are hashed only once.
    """
    record = read_session(path)
    if record is None or record.completion is None:
        return
    now = stamps(session) if session is not None else record.completion.stamps
    judged = record_judged_again(record, settings.quality.thresholds)
    new = replace(judged, completion=replace(record.completion, stamps=now))
    if new != record:
        write_json(path, new)


def stopped(run: Run, session: Session) -> Outcome:
    """The outcome of a session that the run did not finish."""
    return Outcome(session.name, FAILED, "", STOPPED, run.logs / "log.txt")
