"""The graph that computes targets from images: they are preprocessed like sources, then encoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nipype.pipeline import engine as pe

from haca3_bids.interfaces.figures import DrawTarget
from haca3_bids.settings import Settings
from haca3_bids.workflows.harmonize import EngineNeeds, encode_node
from haca3_bids.workflows.preprocess import init_preprocess_wf


@dataclass(frozen=True)
class TargetImages:
    """Images of one head that become targets under one name."""

    name: str
    images: Mapping[str, Path]  # by contrast

    @property
    def origin(self) -> str:
        """The images by their names, for the sidecars."""
        return f"image {', '.join(path.name for path in self.images.values())}"


def init_targets_wf(targets: Sequence[TargetImages], settings: Settings, needs: EngineNeeds) -> pe.Workflow:
    """One workflow ``target_<name>_wf`` for each target; its node ``encode`` leaves ``targets.json``.

    Where targets are to be shown, its node ``draw`` leaves slices of each image.
    """
    workflow = pe.Workflow(name="targets_wf")
    for target in targets:
        inner = pe.Workflow(name=target_workflow_name(target.name))
        preprocess = init_preprocess_wf(target.images, settings.preprocessing)
        encode = encode_node(settings, needs, target.name, target.origin)
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
