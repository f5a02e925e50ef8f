"""The graph that harmonizes the preprocessed scans of one session."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nipype.interfaces import utility
from nipype.pipeline import engine as pe

from haca3_bids.checkpoints.registry import BUILTIN
from haca3_bids.interfaces.harmonize import Harmonize
from haca3_bids.interfaces.native import ToNative
from haca3_bids.settings import HarmonizationSettings, Settings

ENGINE_MEMORY_GB = 2.5  # of the process of the networks on a CPU; three sources, measured: 2.1
FROM_PREPROCESS = (
    "contrasts", "preproc", "coverage", "white_matter", "head_mask", "brain_mask", "record", "to_template",
)  # fmt: skip
INPUTS = (*FROM_PREPROCESS, "targets", "protocols")
METHODS = {
    "haca3": (
        "The preprocessed images of each session were harmonized with HACA3 [@haca3], which separates anatomy from "
        "contrast, weights the source images by attention, and decodes slices of three orientations to the target "
        "contrast; the three results were fused into one volume."
    ),
    "mixture": (
        "The preprocessed images of each session were harmonized with the mixture model of haca3_bids, which follows "
        "HACA3 [@haca3]: it separates anatomy (fractions of tissues in every voxel) from contrast (a table of tissue "
        "intensities, measured in every image), weights the source images by attention, and decodes the fused anatomy "
        "of three orientations with the target's table; details of a source with the target's contrast were added."
    ),
}


def methods(settings: HarmonizationSettings) -> str:
    """The sentences for a methods section; without a known variant, those of the built-in weights or HACA3."""
    variant = settings.variant or ("mixture" if settings.weights == BUILTIN else "haca3")
    return METHODS.get(variant, METHODS["haca3"])


@dataclass(frozen=True)
class EngineNeeds:
    """Weights and resources of the process of the networks; the resources change voxels only by rounding."""

    weights_sha256: str
    threads: int
    use_gpu: bool


def engine_inputs(settings: HarmonizationSettings, needs: EngineNeeds) -> dict[str, Any]:
    """The inputs shared by all tasks of the engine; settings that change no voxel are not hashed."""
    hashed = {key: value for key, value in asdict(settings).items() if key not in ("device", "batch_size", "threads")}
    return {
        "settings": json.dumps(hashed, sort_keys=True),
        "weights_sha256": needs.weights_sha256,
        "device": settings.device,
        "batch_size": settings.batch_size,
        "threads": needs.threads,
        "use_gpu": needs.use_gpu,
    }


def engine_node(interface: Any, name: str, needs: EngineNeeds) -> pe.Node:
    """A node for a task of the engine, which takes one slot of a GPU or its CPU threads."""
    threads = 1 if needs.use_gpu else max(1, needs.threads)
    return pe.Node(interface, name=name, n_procs=threads, mem_gb=ENGINE_MEMORY_GB)


def init_harmonize_wf(settings: Settings, needs: EngineNeeds, *, reference: Path) -> pe.Workflow:
    """Harmonize to all targets on the template grid and, on request, resample the results to the reference's own grid.

    Inputs (``inputnode``): INPUTS, with ``targets`` and ``protocols`` as JSON. Outputs (``outputnode``): ``result``,
    the engine's result as a JSON file, and ``native``, the images on the grid of ``reference`` (only if requested).
    """
    workflow = pe.Workflow(name="harmonize_wf")
    inputnode = pe.Node(utility.IdentityInterface(fields=list(INPUTS)), name="inputnode")
    outputnode = pe.Node(utility.IdentityInterface(fields=["result", "native"]), name="outputnode")
    interface = Harmonize(**engine_inputs(settings.harmonization, needs), extras=list(settings.outputs.extras))
    harmonize = engine_node(interface, "harmonize", needs)
    handed_on: Sequence[str] = [key for key in INPUTS if key != "to_template"]
    workflow.connect(
        [
            (inputnode, harmonize, [(key, key) for key in handed_on]),
            (harmonize, outputnode, [("result", "result")]),
        ]
    )
    if settings.outputs.native:
        native = pe.Node(ToNative(reference=str(reference)), name="native", mem_gb=1.0)
        workflow.connect(
            [
                (inputnode, native, [("to_template", "to_template")]),
                (harmonize, native, [("images", "images")]),
                (native, outputnode, [("out_files", "native")]),
            ]
        )
    return workflow
