"""The settings of a run: frozen dataclasses whose fields declare every option once (see ``option``)."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from haca3_bids.digest import short_digest
from haca3_bids.option import Checked, setting, shaping
from haca3_bids.parse import memory_gb, named_folder, show_memory, show_named_folder, show_threshold, threshold

Contrast = Literal["T1w", "T2w", "PDw", "FLAIR"]
Extra = Literal["beta", "attention", "std"]  # images beside the harmonized one
Precision = Literal["fp32", "bf16", "auto"]
Template = Literal["MNI152NLin2009cSym", "builtin"]
Space = Literal["template", "native", "MNI152NLin2009cSym", "MNI152NLin2009aSym"]
PRECISIONS: tuple[str, ...] = get_args(Precision)
CONTRASTS: tuple[str, ...] = get_args(Contrast)  # the order in which sources and outputs are listed everywhere
REFERENCE_ORDER = ("T1w", "T2w", "FLAIR", "PDw")  # the first one present is the session's reference
WHITE_MATTER_PEAK = 1000.0  # intensity of the white-matter peak in every image that is written
TEMPLATE_SPACES: dict[str, Space] = {  # label of the files in the space of each template
    "MNI152NLin2009cSym": "MNI152NLin2009cSym",
    "builtin": "MNI152NLin2009aSym",
}


@dataclass(frozen=True)
class SelectionSettings(Checked):
    """The selection of sessions and images, and earlier results for them."""

    participants: tuple[str, ...] = setting(
        (),
        "participants to process: labels with or without 'sub-', or a text file with one label per line",
        "--participant-label --participant_label",
        metavar="LABEL",
    )
    sessions: tuple[str, ...] = setting(
        (),
        "sessions to process: labels with or without 'ses-', or a text file with one label per line",
        "--session-label --session-id",
        metavar="LABEL",
    )
    modalities: tuple[Contrast, ...] = setting(CONTRASTS, "contrasts to use as sources")
    filter_file: Path | None = setting(
        None,
        "JSON file that selects scans by their BIDS entities: keys t1w, t2w, pdw and flair, each with an object of "
        "entities and values; null means that an entity must be absent, '*' accepts any value",
        "--bids-filter-file",
        metavar="FILE",
        exists=True,
    )
    database_dir: Path | None = setting(
        None,
        "folder with a pybids database of the dataset, for use by other tools; created if missing and updated if out "
        "of date (haca3-bids itself always reads the dataset)",
        "--bids-database-dir",
        metavar="DIR",
    )
    skip_validation: bool = setting(False, "do not run the BIDS validator on the input", "--skip-bids-validation")
    derivatives: tuple[tuple[str, Path], ...] = setting(
        (),
        "earlier derivatives whose brain masks, head masks and rigid transforms are reused instead of computed",
        "-d --derivatives",
        metavar="NAME=PATH",
        kind=named_folder,
        show=show_named_folder,
    )


@dataclass(frozen=True)
class PreprocessingSettings(Checked):
    """Preprocessing of a raw scan onto the template grid."""

    template: Template = setting(
        "MNI152NLin2009cSym",
        "template space: MNI152NLin2009cSym from TemplateFlow, or the skull-stripped builtin, which needs no download",
        metavar="NAME",
    )
    sloppy: bool = setting(False, "coarse and fast preprocessing; for testing only")
    force: tuple[Literal["registration", "orientation"], ...] = setting(
        (),
        "turn an error into a warning: registration accepts a poor alignment, orientation accepts a header that does "
        "not define left and right",
    )
    seed: int = setting(
        0, "random seed; --seed overrides it for the networks", "--random-seed", also="harmonization.seed", least=0
    )
    threads: int = setting(1, shapes=())
    device: str = setting("cpu", shapes=())  # of ECLARE
    super_resolution: Literal["none", "builtin", "eclare"] = setting(
        "none",
        "upsampling of thick slices: none for spline interpolation, builtin for a network trained on the scan itself, "
        "eclare for the ECLARE program",
    )
    longitudinal: bool = setting(
        False,
        "register all sessions of a subject to one unbiased frame, with the same crop and masks",
        shapes=("images",),
    )


@dataclass(frozen=True)
class HarmonizationSettings(Checked):
    """The networks and their application."""

    weights: str = setting(  # fingerprints hold the SHA-256 of both weights
        "builtin", "weights of the networks: builtin, haca3, haca3plus, or a file", metavar="NAME|FILE", shapes=()
    )
    fusion_weights: str = setting(
        "auto",
        "fusion of the three slice orientations with HACA3 weights: fusion (the authors' network), a file, or median; "
        "auto uses the authors' network with the authors' weights and the median otherwise",
        metavar="NAME|FILE",
        shapes=(),
    )
    variant: str | None = setting(  # not a Literal: other weights have other variants
        None,
        "architecture of the attention (default: the one the weights were trained with)",
        choices=("haca3", "haca3plus"),
        shapes=("images",),
    )
    like_authors: bool = setting(
        False,
        "arithmetic of the networks: haca3, or authors to reproduce the authors' released program",
        "--engine",
        meanings={"haca3": False, "authors": True},
    )
    background: Literal["otsu", "none"] = setting(
        "otsu", "how to remove the background before the networks are applied"
    )
    device: str = setting(
        "auto",
        "where the networks run: auto, cpu, cuda or cuda:N; requesting an unavailable GPU is an error",
        group="execution",
        metavar="DEVICE",
        shapes=(),
        label="Device",
    )
    batch_size: int = setting(8, "slices processed at once by the networks", group="execution", least=1, shapes=())
    precision: Precision = setting(
        "fp32",
        "numerical precision of the networks: fp32, bf16 (faster on GPUs and on CPUs with AVX512-BF16 or AMX), or "
        "auto (bf16 where it is faster); with fp32, machines differ only in the last digits",
        label="Precision",
    )
    beta: Literal["argmax", "sample"] = setting(
        "argmax",
        "anatomy with HACA3 weights: argmax takes the most likely level, sample draws it from the probabilities as the "
        "authors do",
        shapes=("images",),
        label="Anatomy",
    )
    samples: int = setting(
        1, "images to draw with --beta sample; the output is their mean", metavar="K", least=1, shapes=("images",)
    )
    seed: int = setting(0, "random seed of --beta sample", label="Seed", least=0)
    threads: int = setting(0, shapes=())  # 0: as PyTorch chooses


@dataclass(frozen=True)
class OutputSettings(Checked):
    """Outputs in addition to the harmonized images on the template grid."""

    spaces: tuple[Space, ...] = setting(
        ("template",),
        "grids of the harmonized images: template (always written) and native, the grid of the session's reference "
        "scan",
        "--output-spaces",
        metavar="SPACE",
    )
    extras: tuple[Extra, ...] = setting(
        (),
        "additional images: beta (anatomy), attention (weight of each source), std (standard deviation of --samples)",
        "--extra-outputs",
    )

    dtype: Literal["float32", "int16"] = setting(
        "float32",
        "number format of the preprocessed and harmonized images; int16 rounds to a thousandth of the white-matter "
        "intensity and takes two fifths of the disk space",
        "--output-dtype",
    )

    @property
    def native(self) -> bool:
        """Whether each harmonized image is also written on the session reference's own grid."""
        return "native" in self.spaces


@dataclass(frozen=True)
class QualitySettings(Checked):
    """Limits of quality numbers and contents of reports; no setting here changes a voxel."""

    thresholds: tuple[tuple[str, float | None, float | None], ...] = setting(
        (),
        "limits beyond which a quality measure flags a session for review (LOOK) or as failed (FAIL; omitted: never); "
        "'none' removes both limits",
        "--qc-thresholds",
        metavar="MEASURE=LOOK[:FAIL]",
        kind=threshold,
        show=show_threshold,
    )
    group_by: str = setting(
        "",
        "variable that colours sessions and suggests targets in the group report: a column of participants.tsv or "
        "sessions.tsv, or scanner, manufacturer, model, field or session (default: site, else scanner, else session)",
        metavar="COLUMN",
    )
    show_targets: bool = setting(
        False,
        "show slices of target images in the reports of all participants; off by default because a target image may "
        "belong to another person",
    )


@dataclass(frozen=True)
class ExecutionSettings(Checked):
    """Execution of the run; no setting here changes a voxel."""

    work_dir: Path | None = setting(
        None,
        "folder for intermediate files, outside the input dataset (default: below the system's temporary folder)",
        "-w --work-dir",
        metavar="DIR",
    )
    clean_workdir: bool = setting(False, "empty the work folder before starting", act=True)
    keep_work: bool = setting(False, "keep the intermediate files of finished sessions")
    nprocs: int | None = setting(
        None,
        "maximum number of processes (default: as allowed by cgroup, batch system and CPU affinity)",
        "--nprocs --n-procs",
        least=1,
    )
    omp_nthreads: int | None = setting(
        None, "maximum number of threads per process (default: number of processes, at most 8)", least=1
    )
    mem_gb: float | None = setting(
        None,
        "memory limit, for example 12GB (default: as allowed by cgroup and Slurm)",
        "--mem --mem-gb",
        metavar="SIZE",
        kind=memory_gb,
        show=show_memory,
    )
    plugin_file: Path | None = setting(
        None,
        "YAML file with Nipype's 'plugin' and 'plugin_args', for Slurm and other schedulers",
        "--nipype-plugin-file",
        metavar="FILE",
        exists=True,
    )
    reprocess: bool = setting(False, "process finished sessions again", act=True)
    stop_on_first_crash: bool = setting(False, "stop the run at the first failure")
    resource_monitor: bool = setting(False, "log memory and CPU use of every step")
    write_graph: bool = setting(False, "write the graph of the workflow to the logs")
    debug: bool = setting(False, "keep all intermediate files and log everything, including tracebacks")
    verbosity: int = setting(0, "increase the verbosity; repeat for more (-vv)", "-v --verbose", kind=None)
    dry_run: bool = setting(False, "print the images found and the participant level's plan; write nothing", act=True)
    reports_only: bool = setting(False, "regenerate the reports of an existing output, then exit", act=True)
    boilerplate_only: bool = setting(False, "write the methods text (citation boilerplate), then exit", act=True)


@dataclass(frozen=True)
class Settings:
    """All settings of ``haca3-bids``."""

    bids_dir: Path
    output_dir: Path
    level: str = "participant"
    targets: tuple[str, ...] = setting(  # as typed
        (),
        "contrast to harmonize to: a contrast (its built-in reference), an image, sub-X[_ses-Y] of the dataset, "
        "several sessions (sub-*_ses-2 or a text file of names; their mean is used), a protocol "
        "(T1w=MPRAGE:field=3,tr=2300,ti=900 or T1w=SIDECAR.json), tissue intensities (T1w:grey=0.75,csf=0.2), or "
        "theta of HACA3 weights, T1w:theta0,theta1[,eta0,eta1] (default: the built-in reference of each contrast that "
        "a session has)",
        "--target",
        group="harmonization",
        metavar="[NAME=]VALUE",
    )
    selection: SelectionSettings = SelectionSettings()
    preprocessing: PreprocessingSettings = PreprocessingSettings()
    harmonization: HarmonizationSettings = HarmonizationSettings()
    outputs: OutputSettings = OutputSettings()
    quality: QualitySettings = QualitySettings()
    execution: ExecutionSettings = ExecutionSettings()


def fingerprint(settings: Settings, *, weights_sha256: str, fusion_sha256: str, version: str) -> str:
    """Sixteen hexadecimal digits that change with every setting, weight or version that can change an output.

    They do not depend on the selected images, sessions and targets, which are part of each session's record.
    """
    groups = ("preprocessing", "harmonization", "outputs")
    parts = {group: shaping(getattr(settings, group), "images") for group in groups}
    return short_digest(json.dumps([version, weights_sha256, fusion_sha256, parts], sort_keys=True))
