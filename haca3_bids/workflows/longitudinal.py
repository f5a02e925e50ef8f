"""The graph that computes the common frame of all visits of a person, before they are preprocessed."""

from collections.abc import Mapping
from pathlib import Path

from nipype.interfaces import utility
from nipype.pipeline import engine as pe

from haca3_bids.bids.names import node_name, session_name
from haca3_bids.interfaces import longitudinal as steps
from haca3_bids.settings import PreprocessingSettings
from haca3_bids.workflows.preprocess import MEMORY_GB, merge, step_interface, step_node

METHODS = (
    "All visits of a participant were aligned rigidly in a frame midway between them [@reuter]: from the mean of "
    "both registrations for two visits, and with a within-subject mean image for more. One transform of this frame to "
    "the template, one head mask and one white-matter mask were used for all visits."
)


def frame_workflow_name(subject: str) -> str:
    """``frame_sub_01_wf``."""
    return f"frame_{node_name(session_name(subject, None))}_wf"


def init_frame_wf(subject: str, references: Mapping[str, Path], settings: PreprocessingSettings) -> pe.Workflow:
    """Coarse copies of the references of all visits, and their common frame.

    ``references`` maps the names of the visits to raw scans. Outputs (``outputnode``): ``frame``, ``head``.
    """
    workflow = pe.Workflow(name=frame_workflow_name(subject))
    output = pe.Node(utility.IdentityInterface(fields=["frame", "head"]), name="outputnode")
    find = step_node(steps.FindFrame, "frame", settings)
    find.inputs.visits = list(references)
    visits = []  # not a MapNode: Nipype's parts of one do not say to which workflow they belong when they fail
    for number, path in enumerate(references.values(), 1):
        read = pe.Node(step_interface(steps.ReadVisit, settings), name=f"visit{number}", mem_gb=MEMORY_GB["read"])
        read.inputs.in_file = str(Path(path).absolute())
        visits.append(read)
    merge(workflow, "references", visits, "copies", find, no_flatten=True)
    workflow.connect(find, "frame", output, "frame")
    workflow.connect(find, "head", output, "head")
    return workflow
