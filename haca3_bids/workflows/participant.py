"""The graphs of one session and of all sessions of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nipype.pipeline import engine as pe

from haca3_bids.bids.discover import Session
from haca3_bids.bids.names import node_name
from haca3_bids.bids.record import Context
from haca3_bids.interfaces.derivatives import WriteSession
from haca3_bids.interfaces.figures import DrawPreprocessing, DrawResults
from haca3_bids.interfaces.quality import Judge
from haca3_bids.records.files import to_json
from haca3_bids.records.target import Target
from haca3_bids.settings import Settings
from haca3_bids.workflows import harmonize as harmonization
from haca3_bids.workflows import longitudinal
from haca3_bids.workflows import preprocess as preprocessing
from haca3_bids.workflows.harmonize import FROM_PREPROCESS, EngineNeeds, init_harmonize_wf
from haca3_bids.workflows.longitudinal import init_frame_wf
from haca3_bids.workflows.preprocess import init_preprocess_wf

METHODS = "Images were read and written as BIDS datasets [@bids] by haca3_bids, whose steps run under Nipype [@nipype]."
TO_WRITE = ("contrasts", "preproc", "to_reference", "to_template", "from_template", "record")
TO_JUDGE = ("contrasts", "preproc", "brain_mask", "record")
TO_DRAW = ("contrasts", "preproc", "to_reference", "to_template", "brain_mask", "white_matter", "record")


@dataclass(frozen=True)
class SessionPlan:
    """A session to process: its context, its targets, and earlier results for it."""

    context: Context
    targets: Sequence[Target]
    given: Mapping[str, Path]
    visits: Mapping[str, Path] = field(default_factory=dict)  # reference of every session that shares the frame
    protocols: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # expected tissue intensities, by contrast

    @property
    def session(self) -> Session:
        """The session itself."""
        return self.context.session


def workflow_name(session: Session) -> str:
    """``sub_01_ses_1_wf``: the session's name as Nipype allows it."""
    return f"{node_name(session.name)}_wf"


def init_participant_wf(plans: Sequence[SessionPlan], settings: Settings, needs: EngineNeeds) -> pe.Workflow:
    """All sessions of a run in parallel, without connections, so that the failure of one does not affect the others.

    Visits that share a frame wait for it.
    """
    workflow = pe.Workflow(name="haca3_wf")
    sessions = {plan.session.name: init_session_wf(plan, settings, needs) for plan in plans}
    workflow.add_nodes(list(sessions.values()))
    frames: dict[str, pe.Workflow] = {}
    for plan in (plan for plan in plans if plan.visits):
        subject = plan.session.subject
        if subject not in frames:
            frames[subject] = init_frame_wf(subject, plan.visits, settings.preprocessing)
        ends = [
            ("outputnode.frame", "preprocess_wf.inputnode.frame"),
            ("outputnode.head", "harmonize_wf.harmonize.content"),
        ]
        workflow.connect([(frames[subject], sessions[plan.session.name], ends)])
    return workflow


def init_session_wf(plan: SessionPlan, settings: Settings, needs: EngineNeeds) -> pe.Workflow:
    """Preprocess the scans of one session, harmonize them, draw figures, and write all outputs into the dataset."""
    session = plan.session
    workflow = pe.Workflow(name=workflow_name(session))
    images = {contrast: image.path for contrast, image in session.images.items()}
    visit = session.name if plan.visits else ""
    preprocess = init_preprocess_wf(images, settings.preprocessing, given=plan.given, visit=visit)
    harmonize = init_harmonize_wf(settings, needs, reference=images[session.reference])
    harmonize.inputs.inputnode.targets = to_json(plan.targets)
    harmonize.inputs.inputnode.protocols = to_json(plan.protocols)
    raw, template = {contrast: str(path) for contrast, path in images.items()}, settings.preprocessing.template
    before = DrawPreprocessing(raw=raw, reference=session.reference, template=template)
    before = pe.Node(before, name="draw_preprocessing", mem_gb=1.5)
    after = pe.Node(DrawResults(reference=session.reference), name="draw", mem_gb=1.0)
    judge = pe.Node(Judge(thresholds=[list(one) for one in settings.quality.thresholds]), name="judge", mem_gb=1.0)
    write = pe.Node(WriteSession(context=plan.context), name="write", mem_gb=0.3)
    workflow.connect(
        [
            (preprocess, harmonize, [(f"outputnode.{key}", f"inputnode.{key}") for key in FROM_PREPROCESS]),
            (preprocess, before, [(f"outputnode.{key}", key) for key in TO_DRAW]),
            (preprocess, after, [(f"outputnode.{key}", key) for key in ("contrasts", "preproc")]),
            (preprocess, judge, [(f"outputnode.{key}", key) for key in TO_JUDGE]),
            (preprocess, write, [(f"outputnode.{key}", key) for key in TO_WRITE]),
            (harmonize, before, [("outputnode.result", "result")]),
            (harmonize, after, [("outputnode.result", "result")]),
            (harmonize, judge, [("outputnode.result", "result")]),
            (harmonize, write, [("outputnode.result", "result"), ("outputnode.native", "native")]),
            (before, write, [("figures", "figures")]),
            (after, write, [("figures", "figures_of_results")]),
            (judge, write, [("quality", "quality")]),
        ]
    )
    return workflow


def methods(settings: Settings) -> list[str]:
    """The methods sentences of all steps for these settings."""
    visits = [longitudinal.METHODS] if settings.preprocessing.longitudinal else []
    steps = [preprocessing.methods(settings.preprocessing), *visits, harmonization.methods(settings.harmonization)]
    return [*steps, METHODS]
