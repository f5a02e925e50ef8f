"""Records of earlier runs, updated to the limits and inputs of this one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from haca3_bids.bids.atomic import write_json
from haca3_bids.bids.discover import Session
from haca3_bids.bids.record import read_session, stamps
from haca3_bids.quality.verdict import record_judged_again
from haca3_bids.settings import Settings


def judge_again(path: Path, settings: Settings, session: Session | None = None) -> None:
    """Update the verdict of a record to the limits of this run, and its stamps to the inputs of ``session``.

    With new stamps, inputs whose modification time has changed are hashed only once. The failure of a run in between is
    forgotten, since the outputs are those that this run asks for.
    """
    record = read_session(path)
    if record is None or record.completion is None:
        return
    now = stamps(session) if session is not None else record.completion.stamps
    failure = record.error if session is None else None
    judged = record_judged_again(replace(record, error=failure), settings.quality.thresholds)
    new = replace(judged, completion=replace(record.completion, stamps=now))
    if new != record:
        write_json(path, new)
