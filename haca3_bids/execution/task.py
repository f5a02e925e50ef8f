"""A run after all checks: settings, weights, targets, resources and folders."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from haca3_bids.bids.discover import Session
from haca3_bids.bids.names import some_of
from haca3_bids.bids.record import Context
from haca3_bids.execution.resources import Resources
from haca3_bids.execution.targets import TargetRequest
from haca3_bids.execution.weights import with_weights
from haca3_bids.records.engine import Weights
from haca3_bids.records.target import Target
from haca3_bids.settings import TEMPLATE_SPACES, Settings

if TYPE_CHECKING:
    from haca3_bids.workflows.harmonize import EngineNeeds

LOGGER = logging.getLogger("haca3_bids")


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
    targets: Mapping[str, Sequence[Target]] = field(default_factory=dict)  # by the name of the session
    visits: Mapping[str, Sequence[Session]] = field(default_factory=dict)  # that share a frame, by subject

    @property
    def space(self) -> str:
        """Label of the template's space."""
        return TEMPLATE_SPACES[self.settings.preprocessing.template]

    def context(self, session: Session) -> Context:
        """The context of a session, without its fingerprint."""
        settings = self.settings
        return Context(
            session, settings.bids_dir, settings.output_dir, self.space, self.command, self.methods, settings.outputs
        )


def as_planned(settings: Settings, weights: Weights, resources: Resources) -> Settings:
    """The settings with weights resolved to files, threads as planned, and the device that was found."""
    threads = resources.threads
    return replace(
        settings,
        preprocessing=replace(settings.preprocessing, threads=threads, device=weights.device),
        harmonization=replace(with_weights(settings.harmonization, weights), threads=threads),
    )


def shared_frames(sessions: Sequence[Session], settings: Settings) -> dict[str, list[Session]]:
    """The sessions of every subject that has more than one of them, by name, if a common frame is asked for."""
    visits: dict[str, list[Session]] = {}
    for session in sorted(sessions, key=lambda one: one.name) if settings.preprocessing.longitudinal else ():
        visits.setdefault(session.subject, []).append(session)
    alone = [own[0].name for own in visits.values() if len(own) == 1]
    if alone:
        LOGGER.warning("--longitudinal has no effect on subjects with a single session: %s.", some_of(alone))
    return {subject: own for subject, own in visits.items() if len(own) > 1}


def engine_needs(run: Run) -> EngineNeeds:
    """Weights, threads and GPU use of the process of the networks."""
    from haca3_bids.workflows.harmonize import EngineNeeds

    use_gpu = run.weights.device.startswith("cuda")
    return EngineNeeds(run.weights.digest, run.resources.threads, use_gpu)


def node_names(run: Run, session: Session) -> Sequence[str]:
    """The workflows with the steps of a session: its own, and that of the frame that it may share."""
    from haca3_bids.workflows.longitudinal import frame_workflow_name
    from haca3_bids.workflows.participant import workflow_name

    frame = [frame_workflow_name(session.subject)] if session.subject in run.visits else []
    return [workflow_name(session), *frame]


def session_scratch(run: Run, session: Session) -> list[Path]:
    """The scratch folders of these workflows."""
    return [run.work / "haca3_wf" / name for name in node_names(run, session)]
