"""The graph that computes targets from images: they are preprocessed like sources, then encoded."""

from collections.abc import Sequence

from nipype.pipeline import engine as pe

from haca3_bids.execution.targets import TargetRequest
from haca3_bids.interfaces.figures import DrawTarget
from haca3_bids.interfaces.harmonize import Encode
from haca3_bids.settings import Settings
from haca3_bids.workflows.harmonize import EngineNeeds, engine_inputs, engine_node
from haca3_bids.workflows.preprocess import init_preprocess_wf


def init_targets_wf(requests: Sequence[TargetRequest], settings: Settings, needs: EngineNeeds) -> pe.Workflow:
    """One workflow ``target_<name>_wf`` for the images of each request; its node ``encode`` leaves ``targets.json``.

    Where targets are to be shown, its node ``draw`` leaves slices of each image.
    """
    workflow = pe.Workflow(name="targets_wf")
    inputs = engine_inputs(settings.harmonization, needs)
    for request in requests:
        inner = pe.Workflow(name=target_workflow_name(request.name))
        preprocess = init_preprocess_wf(request.images, settings.preprocessing)
        origin = f"image {', '.join(path.name for path in request.images.values())}"
        encode = engine_node(Encode(**inputs, name=request.name, origin=origin), "encode", needs)
        fields = [(f"outputnode.{key}", key) for key in ("contrasts", "preproc", "coverage")]
        inner.connect([(preprocess, encode, fields)])
        if settings.quality.show_targets:
            draw = pe.Node(DrawTarget(), name="draw", mem_gb=1.0)
            inner.connect([(preprocess, draw, [(f"outputnode.{key}", key) for key in ("contrasts", "preproc")])])
        workflow.add_nodes([inner])
    return workflow


def target_workflow_name(name: str) -> str:
    """``target_site2_wf``."""
    return f"target_{name}_wf"
