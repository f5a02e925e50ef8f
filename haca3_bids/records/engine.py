"""Jobs for the process of the networks, and their results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from haca3_bids.records.target import Target
from haca3_bids.settings import Extra, HarmonizationSettings


@dataclass(frozen=True)
class HarmonizeJob:
    """Harmonize files on the same grid; masks are on this grid, too."""

    settings: HarmonizationSettings
    out_dir: str
    sources: Mapping[str, str]  # file by contrast
    targets: tuple[Target, ...]
    coverage: Mapping[str, str] = field(default_factory=dict)  # masks of the fields of view, by contrast
    white_matter: str | None = None  # mask in which the peak is estimated
    head_mask: str | None = None  # outputs are zero outside
    brain: str | None = None  # mask over which attention is averaged
    content: str | None = None  # mask around which a grid larger than the canvas is cropped
    white: float | None = None  # intensity of white matter in all sources, if known
    protocols: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # tissue intensities by contrast
    extras: tuple[Extra, ...] = ()
    task: str = "harmonize"


@dataclass(frozen=True)
class EncodeJob:
    """Encode images as targets, one for each contrast."""

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
    """Compute thin slices from thick ones along an array axis."""

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
    """What the networks measured in one image."""

    theta: tuple[float, ...]  # contrast
    eta: tuple[float, ...]  # artifact level
    attention: float | None = None  # mean over the brain, or over all harmonized voxels
    scale: float = 1.0  # intensity of the image that the networks see as 1
    brain_covered: float | None = None  # fraction of the brain in its field of view
    residual: float | None = None  # mixture model: robust standard deviation of what theta does not explain
    looks_like: str | None = None  # mixture model: the contrast whose images have the most similar theta
    by_protocol: bool | None = None  # mixture model: whether theta was measured with the protocol in the sidecar
    slice_width: float | None = None  # mixture model: measured width of blurred slices, voxels; None if not blurred


@dataclass(frozen=True)
class HarmonizedImage:
    """One harmonized image: its files and measurements."""

    target: Target
    sources: Mapping[str, SourceReport] = field(default_factory=dict)
    scale: float | None = None  # by which the output of the networks was multiplied
    white_matter_peak: float | None = None  # at the scale of the target, before scaling to 1000
    cut_share: float | None = None  # fraction of the grid outside the canvas
    covered_share: float | None = None  # fraction of the grid inside the field of view of any source
    brain_without_source: float | None = None  # fraction of the brain that remains empty
    not_finite: int = 0  # voxels that are not finite
    theta_after: tuple[float, ...] | None = None  # of the harmonized image itself
    eta_after: tuple[float, ...] | None = None
    file: str = ""
    std: str | None = None
    beta: str | None = None
    attention_maps: Mapping[str, str] = field(default_factory=dict)

    @property
    def others(self) -> Iterator[str]:
        """The files other than the image itself."""
        yield from filter(None, (self.std, self.beta, *self.attention_maps.values()))

    def moved(self, place: Callable[[str], str]) -> HarmonizedImage:
        """The same with each file at ``place(file)``."""
        return replace(
            self,
            file=place(self.file),
            std=self.std and place(self.std),
            beta=self.beta and place(self.beta),
            attention_maps={contrast: place(path) for contrast, path in self.attention_maps.items()},
        )


@dataclass(frozen=True)
class WeightsUsed:
    """The identity of a weight file."""

    name: str = ""
    sha256: str | None = None
    variant: str | None = None


@dataclass(frozen=True)
class ReferenceCodes:
    """Theta and eta of a built-in reference."""

    theta: tuple[float, ...]
    eta: tuple[float, ...]
    clean_eta: tuple[float, ...] = ()  # quantiles, in equal steps from 0 to 1, of the distance to eta in clean scans


@dataclass(frozen=True)
class EngineResult:
    """The harmonized images of a session, and how they were computed."""

    images: tuple[HarmonizedImage, ...] = ()
    references: Mapping[str, ReferenceCodes] = field(default_factory=dict)
    weights: WeightsUsed = WeightsUsed()
    fusion: WeightsUsed | None = None
    device: str | None = None
    precision: str | None = None
    beta: str | None = None  # "argmax", "sample" or "soft"
    samples: int | None = None
    seed: int | None = None
    like_authors: bool = False
    background: str | None = None
    seconds: float = 0.0
    peak_memory_bytes: int | None = None

    @property
    def sources(self) -> Mapping[str, SourceReport]:
        """The reports on the sources, which are the same for every image."""
        return self.images[0].sources if self.images else {}


@dataclass(frozen=True)
class EncodeResult:
    """The targets encoded from images."""

    targets: tuple[Target, ...]


@dataclass(frozen=True)
class SuperResolveResult:
    """The image with thin slices."""

    file: str


@dataclass(frozen=True)
class ProbeJob:
    """Check whether weights (files, or "median" for the fusion) and a device can be used."""

    weights: str
    fusion: str
    variant: str | None
    device: str


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
        """The entry in the description of the dataset."""
        return {
            "name": self.name,
            "sha256": self.sha256,
            "variant": self.variant,
            "fusion_name": Path(self.fusion).stem,
            "fusion_sha256": self.fusion_sha256,
        }

    @property
    def digest(self) -> str:
        """A string that identifies the weights."""
        return f"{self.sha256}-{self.fusion_sha256}-{self.variant}"
