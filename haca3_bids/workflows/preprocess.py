"""The graph that preprocesses the raw scans of one session onto the template grid."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nipype.interfaces import utility
from nipype.pipeline import engine as pe

from haca3_bids.errors import BadInput
from haca3_bids.interfaces import preprocess as steps
from haca3_bids.interfaces.longitudinal import PlaceInFrame
from haca3_bids.interfaces.quality import Measure
from haca3_bids.interfaces.read import Read
from haca3_bids.interfaces.super_resolution import SuperResolve
from haca3_bids.preprocessing.session import spline_order
from haca3_bids.preprocessing.template import BUILTIN, DEFAULT
from haca3_bids.settings import CONTRASTS, REFERENCE_ORDER, PreprocessingSettings
from haca3_bids.volumes.header import open_image

OUTPUTS = (
    "contrasts", "preproc", "coverage", "white_matter", "head_mask", "brain_mask",
    "to_reference", "to_template", "from_template", "record",
)  # fmt: skip
LISTS = {  # lists among them: the step and its output that they are made of
    "preproc": ("white_matter", "out_file"),
    "coverage": ("resample", "coverage"),
    "to_reference": ("coregister", "to_reference"),
}
METHODS = (
    "The scans of each session were corrected for intensity non-uniformity with N4 [@n4] as implemented in ANTs "
    "[@ants]; the field was estimated inside the brain on a copy with voxels of 4 mm. The reference (T1w, else T2w, "
    "FLAIR, PDw) was registered to {template} rigidly (6 parameters) by mutual information from many starting "
    "positions. Before the last refinement, its intensity non-uniformity was corrected once more inside the brain that "
    "had been found. The other contrasts were registered to the reference in the same way, and every scan was "
    "interpolated once, {how}, on the 1 mm grid of the template. "
    "Intensities were scaled so that the white-matter peak, the mode inside the eroded white-matter prior of the "
    "template, is 1000."
)
SLOPPY = "The preprocessing was coarse and fast, for a test only (`--sloppy`)."
SPLINES = {1: "linearly", 3: "by cubic B-splines"}
TEMPLATES = {
    DEFAULT: "the template MNI152NLin2009cSym [@icbm] of TemplateFlow [@templateflow]",
    BUILTIN: "the skull-stripped ICBM 2009a template [@icbm]",
}
THIN_SLICES = {
    "builtin": (
        "Thin slices were reconstructed from scans in thick slices by a network trained on the scan itself, following "
        "SMORE [@smore]; registration and bias correction used the original scan."
    ),
    "eclare": (
        "Thin slices were reconstructed from scans in thick slices by ECLARE [@eclare]; registration and bias "
        "correction used the original scan."
    ),
}
MEASURED_VOXELS = 40e6
MEMORY_GB = {  # measured on a scan of MEASURED_VOXELS, rounded up
    "read": 0.8,
    "register": 1.0,
    "frame": 1.2,
    "coregister": 0.8,
    "n4": 1.0,
    "resample": 1.5,
    "super_resolution": 2.0,
    "regions": 0.8,
    "head": 0.8,
    "white_matter": 0.6,
    "measure": 1.0,
}


def methods(settings: PreprocessingSettings) -> str:
    """The sentences for a methods section, with thin slices if requested."""
    said = METHODS.format(template=TEMPLATES[settings.template], how=SPLINES[spline_order(settings)])
    return " ".join(filter(None, [said, THIN_SLICES.get(settings.super_resolution), SLOPPY * settings.sloppy]))


def init_preprocess_wf(
    images: Mapping[str, Path],
    settings: PreprocessingSettings,
    *,
    given: Mapping[str, Path] | None = None,
    visit: str = "",
) -> pe.Workflow:
    """N4, rigid registration, one interpolation and white-matter scaling of the scans of one session.

    ``images`` maps contrasts to raw scans. ``given`` may contain ``to_template`` (ITK file, reference to template),
    ``brain_mask`` and ``head_mask`` (in the reference's own space), which replace estimates. ``visit`` is the name of
    the session if ``FindFrame`` has determined its position, which is then the input ``frame`` of ``inputnode``.

    Outputs (``outputnode``): OUTPUTS; ``preproc``, ``coverage`` (field of view) and ``to_reference`` are lists in the
    order of ``contrasts``.
    """
    given = {key: Path(path).absolute() for key, path in (given or {}).items()}
    reference = next(contrast for contrast in REFERENCE_ORDER if contrast in images)
    workflow = pe.Workflow(name="preprocess_wf")
    chains = {c: _chain(c, Path(images[c]).absolute(), settings, given) for c in CONTRASTS if c in images}
    output = pe.Node(utility.IdentityInterface(fields=list(OUTPUTS), contrasts=list(chains)), name="outputnode")
    session = {
        "register": _register(workflow, settings, given, visit),
        "regions": step_node(steps.Regions, "regions", settings),
        "head": step_node(steps.Head, "head", settings),
    }
    if "head_mask" in given:
        session["head"].inputs.known_head = str(given["head_mask"])
    _connect_session(workflow, session, chains[reference], output)
    for contrast, chain in chains.items():
        _connect_chain(workflow, chain, chains[reference], session)
        chain["white_matter"].inputs.is_reference = contrast == reference
    for name, (step, field) in LISTS.items():
        merge(workflow, name, [chain[step] for chain in chains.values()], field, output)
    collect = pe.Node(steps.Collect(reference=reference), name="collect", mem_gb=0.1)
    every = [*session.values(), *(node for chain in chains.values() for node in chain.values())]
    _declare_more_memory(every, images)
    merge(workflow, "facts", every, "facts", collect)
    workflow.connect(collect, "record", output, "record")
    return workflow


def _declare_more_memory(nodes: Iterable[pe.Node], images: Mapping[str, Path]) -> None:
    """In proportion to the largest scan, if it has more than MEASURED_VOXELS."""
    larger = max(1.0, max(_voxels(path) for path in images.values()) / MEASURED_VOXELS)
    for node in nodes:
        node._mem_gb = node.mem_gb * larger


def _voxels(path: Path) -> int:
    """The number of voxels of an image; 0 if it cannot be read, which the first step reports."""
    try:
        return int(math.prod(open_image(Path(path)).shape))
    except (BadInput, OSError):
        return 0


def _register(workflow: pe.Workflow, settings: PreprocessingSettings, given: Mapping[str, Path], visit: str) -> pe.Node:
    """The node that registers the reference to the template, by itself or through the frame of all visits."""
    register = step_node(PlaceInFrame if visit else steps.Register, "register", settings)
    if visit:
        register.inputs.visit = visit
        frame = pe.Node(utility.IdentityInterface(fields=["frame"]), name="inputnode")
        workflow.connect(frame, "frame", register, "frame")
    for key, path in given.items():
        if not visit or key != "to_template":
            setattr(register.inputs, key, str(path))
    return register


def _connect_session(
    workflow: pe.Workflow, session: Mapping[str, pe.Node], first: Mapping[str, pe.Node], output: pe.Node
) -> None:
    """Registration, regions and head of the session, from the chain of its reference."""
    register, regions, head = session["register"], session["regions"], session["head"]
    workflow.connect(
        [
            (first["read"], register, [("out_file", "reference")]),
            (register, regions, [("to_template", "to_template"), ("affine", "affine")]),
            (first["read"], head, [("out_file", "native")]),
            (first["resample"], head, [("out_file", "reference"), ("coverage", "coverage")]),
            (register, head, [("to_template", "to_template"), ("affine", "affine")]),
            (register, output, [("to_template", "to_template"), ("from_template", "from_template")]),
            (regions, output, [(key, key) for key in ("brain_mask", "white_matter")]),
            (head, output, [("head_mask", "head_mask")]),
        ]
    )


def _chain(contrast: str, path: Path, settings: PreprocessingSettings, given: Mapping[str, Path]) -> dict[str, pe.Node]:
    """The nodes for one scan, by step."""
    kinds = {
        "read": Read,
        "coregister": steps.Coregister,
        "n4": steps.EstimateBias,
        "resample": steps.Resample,
        "white_matter": steps.Scale,
        "measure": Measure,
    }
    chain = {step: step_node(kind, step, settings, contrast) for step, kind in kinds.items()}
    if settings.super_resolution != "none":
        chain["super_resolution"] = _super_resolution(contrast, settings)
    first_hand = ("read", "n4", "super_resolution" if "super_resolution" in chain else "resample")
    for step in first_hand:
        chain[step].inputs.in_file = str(path)
    if "brain_mask" in given:
        chain["n4"].inputs.brain_mask = str(given["brain_mask"])
    return chain


def _super_resolution(contrast: str, settings: PreprocessingSettings) -> pe.Node:
    """The node that reconstructs thin slices, the only step here with several threads or (ECLARE) a GPU."""
    node = step_node(SuperResolve, "super_resolution", settings, contrast)
    node.inputs.method, node.inputs.threads = settings.super_resolution, settings.threads
    node.n_procs = settings.threads
    if settings.super_resolution == "eclare":
        node.inputs.device, node.inputs.use_gpu = settings.device, settings.device.startswith("cuda")
    return node


def _connect_chain(
    workflow: pe.Workflow, chain: Mapping[str, pe.Node], first: Mapping[str, pe.Node], session: Mapping[str, pe.Node]
) -> None:
    """Read, co-register, estimate the bias, resample, scale, measure."""
    if chain is not first:
        workflow.connect(chain["read"], "out_file", chain["coregister"], "moving")
    if "super_resolution" in chain:
        workflow.connect(chain["super_resolution"], "out_file", chain["resample"], "in_file")
    register, regions, head = session["register"], session["regions"], session["head"]
    workflow.connect(
        [
            (first["read"], chain["coregister"], [("out_file", "reference")]),
            (register, chain["n4"], [("to_template", "to_template"), ("affine", "affine")]),
            (chain["coregister"], chain["n4"], [("to_reference", "to_reference")]),
            (chain["n4"], chain["resample"], [("out_file", "field")]),
            (chain["coregister"], chain["resample"], [("to_reference", "to_reference")]),
            (register, chain["resample"], [("to_template", "to_template")]),
            (chain["resample"], chain["white_matter"], [("out_file", "in_file"), ("coverage", "coverage")]),
            (regions, chain["white_matter"], [("white_matter", "white_matter")]),
            (head, chain["white_matter"], [(key, key) for key in ("head_mask", "defaced")]),
            (register, chain["measure"], [("to_template", "to_template")]),
            (chain["resample"], chain["measure"], [("coverage", "coverage")]),
            (regions, chain["measure"], [(key, key) for key in ("white_matter", "brain_mask", "regions")]),
            (head, chain["measure"], [("head_mask", "head_mask")]),
            (chain["white_matter"], chain["measure"], [("out_file", "in_file")]),
            (chain["read"], chain["measure"], [("out_file", "native"), ("blank", "blank")]),
            (chain["coregister"], chain["measure"], [("to_reference", "to_reference")]),
        ]
    )


def step_interface(interface: Any, settings: PreprocessingSettings, contrast: str = "") -> Any:
    """The interface of one step with the settings shared by all steps."""
    return interface(
        contrast=contrast,
        template=settings.template,
        sloppy=settings.sloppy,
        force=list(settings.force),
        seed=settings.seed,
    )


def step_node(interface: Any, step: str, settings: PreprocessingSettings, contrast: str = "") -> pe.Node:
    """A node for one step with its memory; each has one thread (see ``seeded_ants``)."""
    name = f"{step}_{contrast}" if contrast else step
    made = step_interface(interface, settings, contrast)
    return pe.Node(made, name=name, n_procs=1, mem_gb=MEMORY_GB[step])


def merge(
    workflow: pe.Workflow, name: str, nodes: list[pe.Node], field: str, to: pe.Node, *, no_flatten: bool = False
) -> None:
    """A list of one output of several nodes, in their order; ``no_flatten`` keeps outputs that are lists apart."""
    merge = pe.Node(utility.Merge(len(nodes), no_flatten=no_flatten), name=f"merge_{name}", run_without_submitting=True)
    for number, node in enumerate(nodes, 1):
        workflow.connect(node, field, merge, f"in{number}")
    workflow.connect(merge, "out", to, name)
