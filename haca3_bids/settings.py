"""What a run is asked to do: frozen dataclasses, from which command line, TOML, sidecars and fingerprints are made."""

from __future__ import annotations

from dataclasses import dataclass

CONTRASTS = ("T1w", "T2w", "PDw", "FLAIR")  # the order in which sources and outputs are listed everywhere
REFERENCE_ORDER = ("T1w", "T2w", "FLAIR", "PDw")  # the first one present is the session's reference
WHITE_MATTER_PEAK = 1000.0  # intensity of the white-matter peak in every image that is written


@dataclass(frozen=True)
class PreprocessingSettings:
    """How a raw scan is brought to the template grid."""

    template: str = "MNI152NLin2009cSym"  # or "builtin"
    sloppy: bool = False  # coarse and fast, for tests and demonstrations
    seed: int = 0  # of ITK's samplers
    threads: int = 1


@dataclass(frozen=True)
class HarmonizationSettings:
    """How the networks are applied."""

    weights: str = "builtin"  # a registered name or a file
    fusion_weights: str = "builtin"  # a registered name, a file, or "median"
    variant: str | None = None  # "haca3" or "haca3plus"; None: the variant the weights were made for
    background: str = "otsu"  # or "none"
    precision: str = "fp32"  # or "bf16"
    device: str = "auto"  # "auto", "cpu", "cuda", "cuda:N"
    batch_size: int = 8  # slices
    beta: str = "argmax"  # or "sample"
    samples: int = 1  # drawn images when beta is "sample"
    seed: int = 0
    like_authors: bool = False  # the released program's arithmetic instead of the default mode's
    threads: int = 0  # 0: as PyTorch chooses
