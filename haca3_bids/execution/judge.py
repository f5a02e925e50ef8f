"""The outcome of each processed session, from the crashes of its steps and from its record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from haca3_bids.bids.discover import Session
from haca3_bids.bids.record import is_finished
from haca3_bids.errors import Haca3Error
from haca3_bids.execution.crash import Crash
from haca3_bids.execution.outcome import DONE, FAILED, Outcome
from haca3_bids.execution.task import Run, node_names

if TYPE_CHECKING:
    from haca3_bids.workflows.participant import SessionPlan

STOPPED = Haca3Error("The run stopped before this session was finished.", "Run the same command again.")


def judge_session(run: Run, plan: SessionPlan, crashes: Sequence[Crash], written: bool) -> Outcome:
    """The outcome of one session; ``written`` is true if its record is new."""
    session = plan.session
    own = [crash for crash in crashes if any(crash.concerns(name) for name in node_names(run, session))]
    if own:
        return Outcome(session.name, FAILED, own[0].step, own[0].error, own[0].file)
    if not written or not is_finished(plan.context, plan.targets):
        return stopped(run, session)
    return Outcome(session.name, DONE)


def stopped(run: Run, session: Session) -> Outcome:
    """The outcome of a session that the run did not finish."""
    return Outcome(session.name, FAILED, "", STOPPED, run.logs / "log.txt")
