"""Artifacts from none to useless, in steps: what a source is degraded by to see whether attention leaves it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from haca3_bids.physics.scanner import Imperfections

EVENTS = 4  # moments at which a head moves


@dataclass(frozen=True)
class Ladder:
    """The steps of one artifact: the field of ``Imperfections`` that grows, and its values."""

    field: str
    amounts: tuple[float, ...]


LADDERS: Mapping[str, Ladder] = {
    "noise": Ladder("noise", (0.05, 0.10, 0.16, 0.25)),
    "motion": Ladder("motion_voxels", (2.5, 5.0, 7.5, 10.0)),
    "ghosts": Ladder("ghost", (0.25, 0.5, 0.75, 1.0)),
}


def steps(artifact: str, base: Imperfections) -> list[Imperfections]:
    """``base``, then the same with more and more of an artifact."""
    ladder = LADDERS[artifact]
    moving = replace(base, motion_events=EVENTS) if artifact == "motion" else base
    changes: list[dict[str, Any]] = [{ladder.field: amount} for amount in ladder.amounts]
    return [base, *(replace(moving, **change) for change in changes)]
