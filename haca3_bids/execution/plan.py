"""What remains to be done in each session: nothing if an earlier run finished it, else its part of the graph."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from haca3_bids import __version__
from haca3_bids.bids.discover import Session
from haca3_bids.bids.given import find_given
from haca3_bids.bids.record import Context, input_sha256, is_finished, record_path, stamps
from haca3_bids.bids.replaced import check_origin
from haca3_bids.digest import short_digest
from haca3_bids.errors import DISK_ERRORS, BadInput, Haca3Error, InputOutputFailure, UsageError
from haca3_bids.execution.earlier import judge_again
from haca3_bids.execution.outcome import FAILED, FINISHED, Outcome
from haca3_bids.execution.room import check_room
from haca3_bids.execution.task import Run
from haca3_bids.partial import real_path
from haca3_bids.physics.described import protocol_from_sidecar, table
from haca3_bids.records.target import Target
from haca3_bids.settings import fingerprint

if TYPE_CHECKING:
    from haca3_bids.workflows.participant import SessionPlan

LOGGER = logging.getLogger("haca3_bids")
Protocols = dict[str, tuple[float, ...]]  # expected tissue intensities by contrast


def plan_sessions(run: Run, sessions: Sequence[Session]) -> tuple[list[SessionPlan], list[Outcome]]:
    """Plans of the sessions to process, and the outcomes of the others; the locks of all are held."""
    plans: list[SessionPlan] = []
    outcomes: list[Outcome] = []
    for session in sessions:
        step = "checking its earlier outputs"
        try:
            protocols = known_protocols(session)
            made_by = session_fingerprint(run, session, protocols)
            context = replace(run.context(session), fingerprint=made_by, stamps=stamps(session))
            targets = run.targets[session.name]
            check_origin(context.output_dir, context.bids_dir, [session])  # again: other runs have been writing
            if not run.settings.execution.reprocess and is_finished(context, targets):
                judge_again(record_path(context.output_dir, session), run.settings, session)
                outcomes.append(Outcome(session.name, FINISHED))
            else:
                step = "checking the free space"
                check_room(run, session)
                plans.append(_plan(run, context, targets, protocols))
        except (Haca3Error, OSError) as error:
            outcomes.append(Outcome(session.name, FAILED, step, _as_expected(error)))
    return plans, outcomes


def _plan(run: Run, context: Context, targets: Sequence[Target], protocols: Protocols) -> SessionPlan:
    """The plan of one session: its targets, results of earlier derivatives, and visits that share its frame."""
    from haca3_bids.workflows.participant import SessionPlan

    session = context.session
    visits = run.visits.get(session.subject, ())
    given = find_given(run.settings.selection.derivatives, session, run.space)
    if visits and "to_template" in given:
        del given["to_template"]
        LOGGER.info(
            "%s: the given transform to the template is not used, because the session shares a frame", session.name
        )
    for kind, path in given.items():
        LOGGER.info("%s: %s is taken from %s", session.name, kind, path)
    frame = {visit.name: visit.images[visit.reference].path for visit in visits}
    return SessionPlan(context, targets, given, frame, protocols)


def known_protocols(session: Session) -> Protocols:
    """The tissue intensities expected from the protocol of each scan, if its sidecar determines them."""
    found = {}
    for contrast, image in session.images.items():
        with contextlib.suppress(UsageError):
            found[contrast] = table(protocol_from_sidecar(contrast, image.metadata.values))
    return found


def session_fingerprint(run: Run, session: Session, protocols: Protocols) -> str:
    """A fingerprint of everything that can change an output of this session.

    It includes the references of the visits that share its frame: an additional visit changes all of them.
    """
    weights, output_dir = run.weights, run.settings.output_dir
    own = fingerprint(
        run.settings,
        weights_sha256=weights.sha256,
        fusion_sha256=weights.fusion_sha256 or weights.fusion,
        version=__version__,
    )
    visits = run.visits.get(session.subject, ())
    if not (visits or protocols):
        return own
    files = {visit.name: input_sha256(output_dir, visit, visit.reference) for visit in visits}
    return short_digest(json.dumps([own, files, protocols], sort_keys=True))


def _as_expected(error: Haca3Error | OSError) -> Haca3Error:
    if isinstance(error, Haca3Error):
        return error
    name = real_path(Path(str(error.filename))).name if error.filename else "A file"
    if error.errno in DISK_ERRORS:
        return InputOutputFailure(f"Reading or writing {name} failed ({error.strerror}).", "Is the disk full?")
    return BadInput(f"{name} cannot be read or written ({error.strerror}).", "Check its owner and permissions.")
