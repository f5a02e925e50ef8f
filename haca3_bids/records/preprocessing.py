"""What preprocessing found of a session and of each of its scans."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import reduce
from typing import TypeVar


@dataclass(frozen=True)
class Acquisition:
    """Voxel sizes of a scan along and across its slices; ``axis`` is the array axis across them."""

    axis: int
    spacing_mm: float
    in_plane_mm: float
    two_dimensional: bool


@dataclass(frozen=True)
class ScanQuality:
    """Quality numbers of one scan; None: cannot be measured. Each is described in ``quality.thresholds``."""

    brain_seen: float | None = None
    head_imputed: float | None = None
    white_matter_spread: float | None = None
    noise: float | None = None
    ghosts: float | None = None
    air_unevenness: float | None = None
    air: float | None = None
    entropy_focus: float | None = None
    joint_variation: float | None = None
    sharpness: float | None = None
    grey_to_white: float | None = None
    fluid_to_white: float | None = None
    name_margin: float | None = None
    likely_contrast: str | None = None


@dataclass(frozen=True)
class ScanFacts:
    """What is known of one scan; a step fills in what it found."""

    acquisition: Acquisition | None = None
    remarks: tuple[str, ...] = ()  # what was odd about the file
    orientation_assumed: bool = False  # the header does not say where left and right are
    super_resolution: str = "none"
    thin_spacing_mm: float | None = None
    coregistration_similarity: float | None = None  # mutual information (nats) with the reference
    coregistration_distinctness: float | None = None
    coregistration_problem: str = ""  # where a poor one was let pass
    coverage: float | None = None  # share of the template's grid that the scan reaches
    white_matter_peak_raw: float | None = None
    white_matter_peak: float | None = None
    skull_stripped: bool = False
    quality: ScanQuality = ScanQuality()
    seconds: Mapping[str, float] = field(default_factory=dict)  # by step
    memory_mb: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Registration:
    """How the reference lies to the template."""

    similarity: float | None = None  # correlation of edges
    limit: float | None = None
    distinctness: float | None = None
    distinctness_limit: float | None = None
    passed: bool = False
    problem: str = ""  # where a poor one was let pass
    given: bool = False  # by earlier derivatives
    brain_in_head: float | None = None  # shares of the template's brain
    brain_covered: float | None = None
    uncertainty_mm: float | None = None
    uncertainty_deg: float | None = None
    rotation_deg: float | None = None
    translation_mm: float | None = None
    rigid_shift_mm: float | None = None  # between the rigid transform and the affine one
    rigid_turn_deg: float | None = None
    visits: tuple[str, ...] = ()  # sessions that share the frame


@dataclass(frozen=True)
class Preprocessing:
    """What is known of a session before harmonization; a step fills in what it found."""

    reference: str = ""
    template: str = ""
    defaced: bool | None = None
    cut_share: float | None = None  # of the reference's head, beyond the template grid
    registration: Registration | None = None
    contrasts: Mapping[str, ScanFacts] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    memory_mb: Mapping[str, float] = field(default_factory=dict)

    @property
    def all_stripped(self) -> bool:
        """Whether every scan is skull-stripped, and with them the harmonized images."""
        return bool(self.contrasts) and all(own.skull_stripped for own in self.contrasts.values())

    @property
    def problems(self) -> Iterator[str]:
        """What is wrong with registrations that were let pass."""
        of_session = self.registration.problem if self.registration else ""
        yield from filter(None, (of_session, *(own.coregistration_problem for own in self.contrasts.values())))

    @property
    def pieces(self) -> Iterator[Preprocessing | ScanFacts]:
        """The session itself, and its scans."""
        yield self
        yield from self.contrasts.values()

    def seconds_of_steps(self) -> dict[str, float]:
        """Seconds of each step, those of all scans together."""
        total: dict[str, float] = {}
        for step, value in (pair for own in self.pieces for pair in own.seconds.items()):
            total[step] = total.get(step, 0.0) + value
        return total

    def memory_of_steps(self) -> dict[str, float]:
        """The most memory (MB) that each step held, in any scan."""
        most: dict[str, float] = {}
        for step, value in (pair for own in self.pieces for pair in own.memory_mb.items()):
            most[step] = max(most.get(step, 0.0), value)
        return most


Facts = TypeVar("Facts", Preprocessing, ScanFacts)


def gathered(pieces: Iterable[Preprocessing]) -> Preprocessing:
    """What several steps found, in one."""
    return reduce(_with, pieces, Preprocessing())


def _with(whole: Facts, piece: Facts) -> Facts:
    """``whole`` with what the piece says; mappings are united."""
    said = {one.name: getattr(piece, one.name) for one in fields(piece) if getattr(piece, one.name) != one.default}
    for name, value in said.items():
        if isinstance(value, Mapping):
            before = getattr(whole, name)
            said[name] = before | {key: _united(before.get(key), one) for key, one in value.items()}
    return replace(whole, **said)


def _united(before: ScanFacts | float | None, now: ScanFacts | float) -> ScanFacts | float:
    return _with(before, now) if isinstance(before, ScanFacts) and isinstance(now, ScanFacts) else now
