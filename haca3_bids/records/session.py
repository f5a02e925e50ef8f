"""The record of a session: what its page and the tables of the group are made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from haca3_bids.errors import Failure
from haca3_bids.records.engine import EngineResult
from haca3_bids.records.preprocessing import Preprocessing
from haca3_bids.records.target import Target

FORMAT = 1  # of the record's file
DONE, FAILED = "done", "failed"
Numbers = Mapping[str, int | float | str | None]  # quality numbers by measure, as in ``quality.thresholds``
Change = tuple[str, float | None, float | None]  # a measure, and its limits for "look" and "fail"


@dataclass(frozen=True)
class Reason:
    """Why a session is not passed."""

    measure: str
    grade: str
    sentence: str
    where: str = ""  # contrast, or target of a harmonized image
    value: float | None = None
    limit: float | None = None


@dataclass(frozen=True)
class Quality:
    """Verdict, the worst reason first, and all numbers: of the session, of scans by contrast, of images by target."""

    verdict: str = "look"
    reasons: tuple[Reason, ...] = ()
    thresholds_changed: tuple[Change, ...] = ()
    session: Numbers = field(default_factory=dict)
    scans: Mapping[str, Numbers] = field(default_factory=dict)
    images: Mapping[str, Numbers] = field(default_factory=dict)

    @classmethod
    def failed(cls, sentence: str) -> Quality:
        """The verdict on a session that ended with an error."""
        return cls("fail", (Reason("error", "fail", sentence),))

    def places(self) -> Iterator[tuple[str, str, Numbers]]:
        """Kind ("session", "scan", "image"), where, and the numbers there."""
        yield "session", "", self.session
        for kind, part in (("scan", self.scans), ("image", self.images)):
            for where, numbers in part.items():
                yield kind, where, numbers


@dataclass(frozen=True)
class ImageUsed:
    """A scan that serves as a source; its path is relative to the raw dataset."""

    contrast: str
    path: str
    reason: str


@dataclass(frozen=True)
class ImageLeftOut:
    """A scan that is not used, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Figure:
    """A figure of the page; its file is absolute until the session is written, then relative to the dataset."""

    kind: str
    file: str
    title: str = ""
    contrast: str = ""
    role: str = ""  # of slices
    target: str | None = None  # key of the target that it belongs to


@dataclass(frozen=True)
class Completion:
    """What must match for a session to count as finished."""

    fingerprint: str = ""
    stamps: Mapping[str, str] = field(default_factory=dict)  # of the inputs: they change with size and time of a file
    inputs: Mapping[str, str] = field(default_factory=dict)  # SHA-256 by contrast
    targets: Mapping[str, Target] = field(default_factory=dict)  # by key
    outputs: Mapping[str, int] = field(default_factory=dict)  # bytes, by path in the dataset


@dataclass(frozen=True)
class SessionRecord:
    """A session that is done, or the error that it ended with."""

    subject: str
    session: str | None = None
    status: str = FAILED
    version: str = ""  # of haca3_bids
    command: str = ""
    error: Failure | None = None
    images: tuple[ImageUsed, ...] = ()
    left_out: tuple[ImageLeftOut, ...] = ()
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    harmonization: EngineResult = field(default_factory=EngineResult)
    quality: Quality = field(default_factory=Quality)
    figures: tuple[Figure, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)  # by step
    memory_mb: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    completion: Completion | None = None
    format: int = FORMAT

    @property
    def is_done(self) -> bool:
        """Whether all of it was written."""
        return self.status == DONE

    @property
    def verdict(self) -> str:
        """Pass, look or fail."""
        return self.quality.verdict if self.is_done else "fail"
