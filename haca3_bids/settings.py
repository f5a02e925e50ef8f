"""What a run is asked to do: frozen dataclasses, from which command line, TOML, sidecars and fingerprints are made."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from haca3_bids.digest import short_digest

CONTRASTS = ("T1w", "T2w", "PDw", "FLAIR")  # the order in which sources and outputs are listed everywhere
BETAS = ("argmax", "sample")  # how HACA3 takes anatomy from its probabilities
REFERENCE_ORDER = ("T1w", "T2w", "FLAIR", "PDw")  # the first one present is the session's reference
WHITE_MATTER_PEAK = 1000.0  # intensity of the white-matter peak in every image that is written


@dataclass(frozen=True)
class PreprocessingSettings:
    """How a raw scan is brought to the template grid."""

    template: str = "MNI152NLin2009cSym"  # or "builtin"
    sloppy: bool = False  # coarse and fast, for tests and demonstrations
    force: tuple[str, ...] = ()  # "registration": a poor one is a warning, not a failure
    # "orientation": so is a header that does not say how the voxels lie
    seed: int = 0  # of ITK's samplers
    threads: int = 1
    device: str = "cpu"  # of ECLARE
    super_resolution: str = "none"  # or "builtin", "eclare": of scans in thick slices
    longitudinal: bool = False  # all sessions of a subject in one frame


@dataclass(frozen=True)
class HarmonizationSettings:
    """How the networks are applied."""

    weights: str = "builtin"  # a registered name or a file
    fusion_weights: str = "auto"  # of HACA3: a registered name, a file, "median"; auto: the authors' with their weights
    variant: str | None = None  # "haca3" or "haca3plus"; None: the variant the weights were made for
    background: str = "otsu"  # or "none"
    precision: str = "fp32"  # or "bf16"
    device: str = "auto"  # "auto", "cpu", "cuda", "cuda:N"
    batch_size: int = 8  # slices
    beta: str = "argmax"  # one of BETAS
    samples: int = 1  # drawn images when beta is "sample"
    seed: int = 0
    like_authors: bool = False  # the released program's arithmetic instead of the default mode's
    threads: int = 0  # 0: as PyTorch chooses


@dataclass(frozen=True)
class SelectionSettings:
    """Which sessions and images of the dataset are taken, and what is known of them already."""

    participants: tuple[str, ...] = ()  # labels without prefix; empty: all
    sessions: tuple[str, ...] = ()
    modalities: tuple[str, ...] = CONTRASTS  # contrasts that serve as sources
    filter_file: Path | None = None
    database_dir: Path | None = None
    skip_validation: bool = False
    derivatives: tuple[tuple[str, Path], ...] = ()  # name and folder of earlier derivatives


@dataclass(frozen=True)
class OutputSettings:
    """What is written beside the harmonized images on the template grid."""

    spaces: tuple[str, ...] = ("template",)  # "template", "native"
    extras: tuple[str, ...] = ()  # "beta", "attention", "std"

    @property
    def native(self) -> bool:
        """Whether each harmonized image is also written on the session reference's own grid."""
        return "native" in self.spaces


@dataclass(frozen=True)
class QualitySettings:
    """What is thought of quality numbers, and what reports show; nothing here changes a voxel."""

    thresholds: tuple[tuple[str, float | None, float | None], ...] = ()  # measure, look, fail: other than usual
    group_by: str = ""  # column by which the group level colours and chooses targets; "": site, else scanner
    show_targets: bool = False  # slices of target images in everyone\'s report


@dataclass(frozen=True)
class ExecutionSettings:
    """How the run is carried out; nothing here changes a voxel."""

    work_dir: Path | None = None  # None: a folder of the system's scratch space
    clean_workdir: bool = False
    keep_work: bool = False
    nprocs: int | None = None  # None: as many as this process may use
    omp_nthreads: int | None = None
    mem_gb: float | None = None
    plugin_file: Path | None = None
    reprocess: bool = False
    stop_on_first_crash: bool = False
    resource_monitor: bool = False
    write_graph: bool = False
    debug: bool = False
    verbosity: int = 0
    dry_run: bool = False
    reports_only: bool = False
    boilerplate_only: bool = False


@dataclass(frozen=True)
class Settings:
    """Everything that ``haca3-bids`` is asked to do."""

    bids_dir: Path
    output_dir: Path
    level: str = "participant"
    targets: tuple[str, ...] = ()  # [NAME=]VALUE as typed; empty: the built-in reference of each contrast found
    selection: SelectionSettings = SelectionSettings()
    preprocessing: PreprocessingSettings = PreprocessingSettings()
    harmonization: HarmonizationSettings = HarmonizationSettings()
    outputs: OutputSettings = OutputSettings()
    quality: QualitySettings = QualitySettings()
    execution: ExecutionSettings = ExecutionSettings()


NOT_IN_FINGERPRINT = frozenset({"device", "batch_size", "threads", "weights", "fusion_weights"})


def fingerprint(settings: Settings, *, weights_sha256: str, fusion_sha256: str, version: str) -> str:
    """Sixteen hexadecimal digits that change with every setting, weight or version that can change an output.

    Which images, sessions and targets are taken does not enter: each session's record holds those itself.
    """
    parts = {
        group: {key: value for key, value in asdict(part).items() if key not in NOT_IN_FINGERPRINT}
        for group, part in (
            ("preprocessing", settings.preprocessing),
            ("harmonization", settings.harmonization),
            ("outputs", settings.outputs),
        )
    }
    return short_digest(json.dumps([version, weights_sha256, fusion_sha256, parts], sort_keys=True))
