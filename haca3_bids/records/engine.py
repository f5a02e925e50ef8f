"""What the process of the networks is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from haca3_bids.records.target import Target
from haca3_bids.settings import Extra, HarmonizationSettings


@dataclass(frozen=True)
class HarmonizeJob:
    """Harmonize files that share a grid; all masks lie on it."""

    settings: HarmonizationSettings
    out_dir: str
    sources: Mapping[str, str]  # file by contrast, as are the fields of view
    targets: tuple[Target, ...]
    coverage: Mapping[str, str] = field(default_factory=dict)
    white_matter: str | None = None  # where the peak is found
    head_mask: str | None = None  # nothing outside is written
    brain: str | None = None  # where it is told what each source contributed
    content: str | None = None  # that a grid larger than the networks' is cropped about
    white: float | None = None  # intensity of white matter in all sources, where that is known
    protocols: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # tissue intensities by contrast
    extras: tuple[Extra, ...] = ()
    task: str = "harmonize"


@dataclass(frozen=True)
class EncodeJob:
    """Make targets of images, one for each contrast."""

    settings: HarmonizationSettings
    out_dir: str
    images: Mapping[str, str]
    name: str
    origin: str = "an image"
    coverage: Mapping[str, str] = field(default_factory=dict)
    white: float | None = None
    task: str = "encode"


@dataclass(frozen=True)
class SuperResolveJob:
    """Make thin slices of thick ones, across an axis of the array."""

    out_dir: str
    image: str
    axis: int
    seed: int
    sloppy: bool
    threads: int
    task: str = "super_resolve"


Job = HarmonizeJob | EncodeJob | SuperResolveJob


@dataclass(frozen=True)
class SourceReport:
    """What the networks said of one source."""

    theta: tuple[float, ...]
    eta: tuple[float, ...]
    attention: float | None = None  # mean over the brain, or over all voxels that were harmonized
    scale: float | None = None  # intensity of the image that is 1 to the networks
    brain_covered: float | None = None  # share of the brain in its field of view
    residual: float | None = None  # mixture model: what theta does not explain, relative to white matter
    looks_like: str | None = None  # mixture model: the contrast whose images have the most similar theta


@dataclass(frozen=True)
class HarmonizedImage:
    """One harmonized image: its files and what is known of it."""

    target: Target
    sources: Mapping[str, SourceReport] = field(default_factory=dict)
    scale: float | None = None  # by which the output of the networks was multiplied
    white_matter_peak: float | None = None  # at the target's scale, before it was brought to 1000
    cut_share: float | None = None  # of the grid, outside the networks' field of view
    covered_share: float | None = None  # of the grid, inside some source's field of view
    brain_without_source: float | None = None  # share of the brain that stays empty
    theta_after: tuple[float, ...] | None = None  # of the harmonized image itself
    eta_after: tuple[float, ...] | None = None
    file: str = ""
    std: str | None = None
    beta: str | None = None
    attention_maps: Mapping[str, str] = field(default_factory=dict)

    @property
    def others(self) -> Iterator[str]:
        """The files besides the image."""
        yield from filter(None, (self.std, self.beta, *self.attention_maps.values()))

    def moved(self, place: Callable[[str], str]) -> HarmonizedImage:
        """The same with its files elsewhere."""
        return replace(
            self,
            file=place(self.file),
            std=self.std and place(self.std),
            beta=self.beta and place(self.beta),
            attention_maps={contrast: place(path) for contrast, path in self.attention_maps.items()},
        )


@dataclass(frozen=True)
class WeightsUsed:
    """A file of weights, by what it is known by."""

    name: str = ""
    sha256: str | None = None
    variant: str | None = None


@dataclass(frozen=True)
class ReferenceCodes:
    """Theta and eta of a built-in reference."""

    theta: tuple[float, ...]
    eta: tuple[float, ...]
    clean_eta: tuple[float, ...] = ()  # quantiles, 0 to 1 in equal steps, of the distance to eta in clean scans


@dataclass(frozen=True)
class EngineResult:
    """The images of a session, and how they came about."""

    images: tuple[HarmonizedImage, ...] = ()
    references: Mapping[str, ReferenceCodes] = field(default_factory=dict)
    weights: WeightsUsed = WeightsUsed()
    fusion: WeightsUsed | None = None
    device: str | None = None
    precision: str | None = None
    beta: str | None = None  # how it was taken: "argmax", "sample" or "soft"
    samples: int | None = None
    seed: int | None = None
    like_authors: bool = False
    background: str | None = None
    seconds: float = 0.0
    peak_memory_bytes: int | None = None

    @property
    def sources(self) -> Mapping[str, SourceReport]:
        """What was said of each source: the same with every image."""
        return self.images[0].sources if self.images else {}


@dataclass(frozen=True)
class EncodeResult:
    """The targets that images set."""

    targets: tuple[Target, ...]


@dataclass(frozen=True)
class SuperResolveResult:
    """The image with thin slices."""

    file: str


@dataclass(frozen=True)
class Weights:
    """Weights that can be used, and the device they will run on."""

    name: str
    path: str
    sha256: str
    variant: str
    fusion: str  # file, or "median"
    fusion_sha256: str
    references: Mapping[str, Target]  # built-in targets by contrast
    device: str

    def described(self) -> dict[str, str]:
        """What the dataset's description keeps of them."""
        return {
            "name": self.name,
            "sha256": self.sha256,
            "variant": self.variant,
            "fusion_name": Path(self.fusion).stem,
            "fusion_sha256": self.fusion_sha256,
        }

    @property
    def digest(self) -> str:
        """One text that differs for other weights."""
        return f"{self.sha256}-{self.fusion_sha256}-{self.variant}"
