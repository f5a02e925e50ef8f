"""A run after all checks: what is asked for, by which means, and where its scratch lies."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from haca3_bids import __version__
from haca3_bids.bids.discover import Session
from haca3_bids.execution.frames import Visits, with_visits
from haca3_bids.execution.resources import Resources
from haca3_bids.execution.targets import TargetRequest
from haca3_bids.execution.weights import with_weights
from haca3_bids.preprocessing.template import SPACES
from haca3_bids.records.engine import Weights
from haca3_bids.settings import Settings, fingerprint

if TYPE_CHECKING:
    from haca3_bids.workflows.harmonize import EngineNeeds


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
        return with_visits(self._fingerprint, self.visits.get(session.subject, ()), self.settings.output_dir)

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

    def as_planned(self) -> Run:
        """The run whose settings hold weights resolved to files, threads as planned, and the device that was found."""
        settings, threads = self.settings, self.resources.threads
        planned = dataclasses.replace(
            settings,
            preprocessing=dataclasses.replace(settings.preprocessing, threads=threads, device=self.weights.device),
            harmonization=dataclasses.replace(with_weights(settings.harmonization, self.weights), threads=threads),
        )
        return dataclasses.replace(self, settings=planned)


def engine_needs(run: Run) -> EngineNeeds:
    """How the process of the networks is placed."""
    from haca3_bids.workflows.harmonize import EngineNeeds

    use_gpu = run.weights.device.startswith("cuda")
    return EngineNeeds(run.weights.digest, run.resources.threads, use_gpu)


def node_names(session: Session) -> Sequence[str]:
    """The workflows in which a session's steps are: its own, and that of the frame that it may share."""
    from haca3_bids.workflows.longitudinal import frame_workflow_name
    from haca3_bids.workflows.participant import workflow_name

    return workflow_name(session), frame_workflow_name(session.subject)


def session_scratch(run: Run, session: Session) -> list[Path]:
    """Where these steps keep their files."""
    return [run.work / "haca3_wf" / name for name in node_names(session)]
