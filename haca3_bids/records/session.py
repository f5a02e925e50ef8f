"""The record of a session, from which reports and group tables are made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from haca3_bids.errors import Failure
from haca3_bids.records.engine import EngineResult
from haca3_bids.records.preprocessing import Preprocessing
from haca3_bids.records.target import Target

FORMAT = 1  # version of the file format
DONE, FAILED = "done", "failed"
Numbers = Mapping[str, int | float | str | None]  # quality numbers by measure, as in ``quality.thresholds``
Change = tuple[str, float | None, float | None]  # a measure, and its limits for "look" and "fail"


@dataclass(frozen=True)
class Reason:
    """A reason why a session did not pass."""

    measure: str
    grade: str
    sentence: str
    where: str = ""  # contrast, or target of a harmonized image
    value: float | None = None
    limit: float | None = None


@dataclass(frozen=True)
class Quality:
    """The verdict, its reasons, and all numbers: of the session, of scans and of images.

    The worst reason is first, or a failure of the last run.
    """

    verdict: str = "look"
    reasons: tuple[Reason, ...] = ()
    thresholds_changed: tuple[Change, ...] = ()
    session: Numbers = field(default_factory=dict)
    scans: Mapping[str, Numbers] = field(default_factory=dict)  # by contrast
    images: Mapping[str, Numbers] = field(default_factory=dict)  # by target

    @classmethod
    def failed(cls, sentence: str) -> Quality:
        """The verdict on a session that ended with an error."""
        return cls("fail", (Reason("error", "fail", sentence),))

    def places(self) -> Iterator[tuple[str, str, Numbers]]:
        """Kind ("session", "scan" or "image"), contrast or target, and numbers."""
        yield "session", "", self.session
        for kind, part in (("scan", self.scans), ("image", self.images)):
            for where, numbers in part.items():
                yield kind, where, numbers


@dataclass(frozen=True)
class ImageUsed:
    """A scan used as a source; its path is relative to the raw dataset."""

    contrast: str
    path: str
    reason: str


@dataclass(frozen=True)
class ImageLeftOut:
    """A scan that is not used, and why; its path is relative to the raw dataset."""

    path: str
    reason: str


@dataclass(frozen=True)
class Figure:
    """A figure of the report; its path is relative to the dataset once the session is written, absolute before."""

    kind: str
    file: str
    title: str = ""
    contrast: str = ""
    role: str = ""  # of slices
    target: str | None = None  # key of its target


@dataclass(frozen=True)
class Completion:
    """What must match for a session to count as finished."""

    fingerprint: str = ""
    stamps: Mapping[str, str] = field(default_factory=dict)  # of the inputs: hashes of name, size and modification time
    inputs: Mapping[str, str] = field(default_factory=dict)  # SHA-256 by contrast
    targets: Mapping[str, Target] = field(default_factory=dict)  # by key
    outputs: Mapping[str, int] = field(default_factory=dict)  # size in bytes by path in the dataset
    scans: Mapping[str, str] = field(default_factory=dict)  # SHA-256 by path in the raw dataset, also behind ``older``
    older: tuple[str, ...] = ()  # files that earlier runs with other settings made from the same inputs


@dataclass(frozen=True)
class SessionRecord:
    """The record of a finished session, or of the error with which it ended."""

    subject: str
    session: str | None = None
    status: str = FAILED
    version: str = ""  # of haca3_bids
    command: str = ""
    error: Failure | None = None  # with which it ended, or with which a later run of a finished session ended
    dataset: Mapping[str, str] = field(default_factory=dict)  # name and DOI of the raw dataset
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
        """Whether all outputs were written."""
        return self.status == DONE

    @property
    def verdict(self) -> str:
        """Pass, look or fail."""
        return self.quality.verdict if self.is_done else "fail"
