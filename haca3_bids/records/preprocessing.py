"""The results of preprocessing for a session and each of its scans."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import reduce
from typing import TypeVar


@dataclass(frozen=True)
class Acquisition:
    """Voxel sizes of a scan; ``axis`` is the array axis perpendicular to the slices."""

    axis: int
    spacing_mm: float
    in_plane_mm: float
    two_dimensional: bool


@dataclass(frozen=True)
class FramePlace:
    """The position of the template in one visit of a common frame, as 4 x 4 matrices in RAS millimetres."""

    rigid: tuple[tuple[float, ...], ...]
    affine: tuple[tuple[float, ...], ...]
    problem: str = ""  # of the visits, if it was accepted


@dataclass(frozen=True)
class ScanQuality:
    """Quality numbers of one scan, None if undefined; described in ``quality.thresholds``."""

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
    """Facts about one scan; each step sets its own fields."""

    acquisition: Acquisition | None = None
    remarks: tuple[str, ...] = ()  # unusual properties of the file
    orientation_assumed: bool = False  # the header does not define left and right
    super_resolution: str = "none"
    thin_spacing_mm: float | None = None
    spline_order: int = 3  # of the interpolation on the template grid
    coregistration_similarity: float | None = None  # mutual information (nats) with the reference
    coregistration_distinctness: float | None = None
    coregistration_problem: str = ""  # if a poor one was accepted
    coverage: float | None = None  # fraction of the template grid in the field of view
    white_matter_peak_raw: float | None = None
    white_matter_peak: float | None = None
    skull_stripped: bool = False
    quality: ScanQuality = ScanQuality()
    seconds: Mapping[str, float] = field(default_factory=dict)  # by step
    memory_mb: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Registration:
    """The registration of the reference to the template."""

    similarity: float | None = None  # correlation of edges
    limit: float | None = None
    distinctness: float | None = None
    distinctness_limit: float | None = None
    passed: bool = False
    problem: str = ""  # if a poor one was accepted
    given: bool = False  # taken from earlier derivatives
    brain_in_head: float | None = None  # fraction of the template's brain
    brain_covered: float | None = None  # fraction of the template's brain
    uncertainty_mm: float | None = None
    uncertainty_deg: float | None = None
    rotation_deg: float | None = None
    translation_mm: float | None = None
    rigid_shift_mm: float | None = None  # between the rigid transform and the affine one
    rigid_turn_deg: float | None = None
    visits: tuple[str, ...] = ()  # sessions that share the frame


@dataclass(frozen=True)
class Preprocessing:
    """Facts about a session before harmonization; each step sets its own fields."""

    reference: str = ""
    template: str = ""
    defaced: bool | None = None
    cut_share: float | None = None  # fraction of the reference's head outside the template grid
    registration: Registration | None = None
    contrasts: Mapping[str, ScanFacts] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    memory_mb: Mapping[str, float] = field(default_factory=dict)

    @property
    def all_stripped(self) -> bool:
        """Whether all scans, and therefore the harmonized images, are skull-stripped."""
        return bool(self.contrasts) and all(own.skull_stripped for own in self.contrasts.values())

    @property
    def problems(self) -> Iterator[str]:
        """The problems of poor registrations that were accepted."""
        of_session = self.registration.problem if self.registration else ""
        yield from filter(None, (of_session, *(own.coregistration_problem for own in self.contrasts.values())))

    def costs_of_steps(self) -> tuple[dict[str, float], dict[str, float]]:
        """Seconds (summed over scans) and peak memory in MB (the maximum over scans) of each step."""
        seconds: dict[str, float] = {}
        memory_mb: dict[str, float] = {}
        parts: list[Preprocessing | ScanFacts] = [self, *self.contrasts.values()]
        for own in parts:
            for step, value in own.seconds.items():
                seconds[step] = seconds.get(step, 0.0) + value
            for step, value in own.memory_mb.items():
                memory_mb[step] = max(memory_mb.get(step, 0.0), value)
        return seconds, memory_mb


Facts = TypeVar("Facts", Preprocessing, ScanFacts)


def gathered(pieces: Iterable[Preprocessing]) -> Preprocessing:
    """The facts of several steps, combined."""
    return reduce(_with, pieces, Preprocessing())


def _with(whole: Facts, piece: Facts) -> Facts:
    """``whole`` with the fields that ``piece`` sets; mappings are merged."""
    said = {one.name: getattr(piece, one.name) for one in fields(piece) if getattr(piece, one.name) != one.default}
    for name, value in said.items():
        if isinstance(value, Mapping):
            before = getattr(whole, name)
            said[name] = before | {key: _united(before.get(key), one) for key, one in value.items()}
    return replace(whole, **said)


def _united(before: ScanFacts | float | None, now: ScanFacts | float) -> ScanFacts | float:
    return _with(before, now) if isinstance(before, ScanFacts) and isinstance(now, ScanFacts) else now
