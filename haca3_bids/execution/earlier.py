"""Records of earlier runs, updated to the limits and inputs of this one."""

from dataclasses import replace
from pathlib import Path

from haca3_bids.bids.atomic import write_json
from haca3_bids.bids.discover import Session
from haca3_bids.bids.origin import dataset_identity
from haca3_bids.bids.record import read_session, stamps
from haca3_bids.quality.verdict import record_judged_again
from haca3_bids.settings import Settings


def judge_again(path: Path, settings: Settings, session: Session | None = None) -> None:
    """Update the verdict of a record to the limits of this run, and its stamps and dataset to those of ``session``.

    With new stamps, inputs whose modification time has changed are hashed only once. The failure of a run in between is
    forgotten, since the outputs are those that this run asks for.
    """
    record = read_session(path)
    if record is None or record.completion is None:
        return
    new = record
    if session is not None:
        completion = replace(record.completion, stamps=stamps(session))
        new = replace(record, completion=completion, dataset=dataset_identity(settings.bids_dir), error=None)
    new = record_judged_again(new, settings.quality.thresholds)
    if new != record:
        write_json(path, new)
