"""Stand-ins for preprocessing and weights, and a small BIDS dataset: the App around them is the real one."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from fake_engine import note, run
from nipype.interfaces import utility
from nipype.interfaces.base import BaseInterface, BaseInterfaceInputSpec, TraitedSpec, isdefined, traits
from nipype.pipeline import engine as pe

from haca3_bids.records.engine import Weights
from haca3_bids.records.target import Target
from haca3_bids.reports.pixels import SLICES
from haca3_bids.settings import CONTRASTS, REFERENCE_ORDER, HarmonizationSettings, PreprocessingSettings
from haca3_bids.volumes.volume import Volume, load_volume, save_volume
from haca3_bids.workflows.longitudinal import frame_workflow_name
from haca3_bids.workflows.preprocess import OUTPUTS

SHAPE = (24, 28, 24)
AFFINE = np.array([[8.0, 0, 0, -92], [0, 8, 0, -124], [0, 0, 8, -78], [0, 0, 0, 1]])
SVG = '<svg xmlns="http://www.w3.org/2000/svg"></svg>'
IDENTITY = """#Insight Transform File V1.0
#Transform 0
Transform: AffineTransform_double_3_3
Parameters: 1 0 0 0 1 0 0 0 1 0 0 0
FixedParameters: 0 0 0
"""


def head(seed: int = 0, level: float = 100.0) -> Volume:
    """A bright ball with texture."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij"))
    ball = (grid**2).sum(axis=0) < 0.7
    return Volume((ball * (level + 10 * rng.random(SHAPE))).astype(np.float32), AFFINE)


def make_dataset(root: Path, sessions: Mapping[str, tuple[str, ...]]) -> Path:
    """A BIDS dataset with the sessions ``{"sub-01_ses-1": ("T1w", "T2w"), "sub-02": ("T1w",)}``."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset_description.json").write_text(json.dumps({"Name": "heads", "BIDSVersion": "1.9.0"}))
    (root / "README").write_text("Heads that were never scanned, for the tests of an App that is to read them.\n")
    for index, (name, contrasts) in enumerate(sessions.items()):
        folder = root.joinpath(*name.split("_")) / "anat"
        folder.mkdir(parents=True)
        for contrast in contrasts:
            save_volume(head(index, 100.0 + index), folder / f"{name}_{contrast}.nii.gz")
    return root


class FakePreprocessInputSpec(BaseInterfaceInputSpec):
    images = traits.Dict(traits.Str, traits.Str)
    settings = traits.Str()
    given = traits.Dict(traits.Str, traits.Str)
    frame = traits.Str()


class FakePreprocessOutputSpec(TraitedSpec):
    contrasts = traits.List(traits.Str)
    preproc = traits.List(traits.Str)
    coverage = traits.List(traits.Str)
    to_reference = traits.List(traits.Str)
    white_matter = traits.Str()
    head_mask = traits.Str()
    brain_mask = traits.Str()
    to_template = traits.Str()
    from_template = traits.Str()
    record = traits.Str()


class FakePreprocess(BaseInterface):
    input_spec = FakePreprocessInputSpec
    output_spec = FakePreprocessOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        here = Path(runtime.cwd)
        time.sleep(float(os.environ.get("FAKE_SECONDS", 0)))
        record: dict[str, Any] = {"contrasts": {}, "template": "MNI152NLin2009cSym"}
        record["reference"] = next(one for one in REFERENCE_ORDER if one in self.inputs.images)
        record["defaced"] = "FAKE_DEFACED" in os.environ
        for contrast, path in self.inputs.images.items():
            volume = load_volume(path)
            save_volume(volume.with_data(volume.data * (1000 / volume.data.max())), here / f"{contrast}.nii.gz")
            save_volume(volume.with_data(np.ones(SHAPE)), here / f"coverage{contrast}.nii.gz")
            (here / f"{contrast}.txt").write_text(IDENTITY)
            own = {"white_matter_peak": 1000.0, "white_matter_peak_raw": 105.0, "coverage": 1.0}
            record["contrasts"][contrast] = own | {"coregistration_similarity": 0.9, "seconds": {"n4": 1.0}}
        ball = (head().data > 0).astype(np.float32)
        save_volume(Volume(ball, AFFINE), here / "mask.nii.gz")
        for name in ("to", "from"):
            (here / f"{name}.txt").write_text(IDENTITY)
        told = {"settings": json.loads(self.inputs.settings), "given": dict(self.inputs.given)}
        note(here, "preprocessing", told | {"frame": str(self.inputs.frame) if isdefined(self.inputs.frame) else ""})
        (here / "record.json").write_text(json.dumps(record))
        return runtime

    def _list_outputs(self) -> dict[str, Any]:
        here = Path.cwd()
        contrasts = [contrast for contrast in CONTRASTS if contrast in self.inputs.images]
        masks = dict.fromkeys(("white_matter", "head_mask", "brain_mask"), str(here / "mask.nii.gz"))
        return masks | {
            "contrasts": contrasts,
            "preproc": [str(here / f"{contrast}.nii.gz") for contrast in contrasts],
            "coverage": [str(here / f"coverage{contrast}.nii.gz") for contrast in contrasts],
            "to_reference": [str(here / f"{contrast}.txt") for contrast in contrasts],
            "to_template": str(here / "to.txt"),
            "from_template": str(here / "from.txt"),
            "record": str(here / "record.json"),
        }


def fake_preprocess_wf(
    images: Mapping[str, Path],
    settings: PreprocessingSettings,
    *,
    given: Mapping[str, Path] | None = None,
    visit: str = "",
) -> pe.Workflow:
    """The outputs of the real one, from images that need no registration."""
    workflow = pe.Workflow(name="preprocess_wf")
    interface = FakePreprocess(
        images={contrast: str(path) for contrast, path in images.items()},
        settings=json.dumps(asdict(settings)),
        given={key: str(path) for key, path in (given or {}).items()},
    )
    node = pe.Node(interface, name="n4")
    if visit:
        frame = pe.Node(utility.IdentityInterface(fields=["frame"]), name="inputnode")
        workflow.connect(frame, "frame", node, "frame")
    outputnode = pe.Node(utility.IdentityInterface(fields=list(OUTPUTS)), name="outputnode")
    workflow.connect([(node, outputnode, [(field, field) for field in OUTPUTS])])
    return workflow


def fake_frame_wf(subject: str, references: Mapping[str, Path], settings: PreprocessingSettings) -> pe.Workflow:
    """A frame that is the names of its visits; their first scan stands for its head."""
    workflow = pe.Workflow(name=frame_workflow_name(subject))
    outputnode = pe.Node(utility.IdentityInterface(fields=["frame", "head"]), name="outputnode")
    outputnode.inputs.frame = " ".join(references)
    outputnode.inputs.head = str(next(iter(references.values())))
    workflow.add_nodes([outputnode])
    return workflow


def fake_weights(settings: HarmonizationSettings) -> Weights:
    """Weights with references for T1w, T2w and FLAIR; their SHA-256 follows the name they are asked for by."""
    origin = "built-in reference of fake"
    references = {c: Target("", c, (1.0, 2.0), (0.3, 0.5), 900.0, origin) for c in ("T1w", "T2w", "FLAIR")}
    sha = settings.weights.encode().hex().ljust(64, "0")[:64]
    variant = settings.variant or "haca3"
    fusion = settings.fusion_weights
    return Weights("fake", "/fake/weights", sha, variant, fusion, fusion.encode().hex(), references, "cpu")


def _draw(*arguments: Any, **_: Any) -> None:
    Path(next(one for one in arguments if str(one).endswith(".svg"))).write_text(SVG)


STAND_INS = {  # what takes time, by its name in the App
    "haca3_bids.workflows.participant.init_preprocess_wf": fake_preprocess_wf,
    "haca3_bids.workflows.participant.init_frame_wf": fake_frame_wf,
    "haca3_bids.workflows.targets.init_preprocess_wf": fake_preprocess_wf,
    "haca3_bids.execution.run.find_weights": fake_weights,
    "haca3_bids.execution.run.check_template": lambda name: None,
    "haca3_bids.execution.graph.POLL_SECONDS": 0.02,
    "haca3_bids.execution.room.SCRATCH_MB": 0.0,
    "haca3_bids.execution.room.IMAGE_MB": 0.0,
    "haca3_bids.interfaces.harmonize.subprocess": SimpleNamespace(run=run, DEVNULL=subprocess.DEVNULL),
    "haca3_bids.interfaces.figures.slice_rows": lambda *_: np.zeros((4 * SLICES, 8, 3), np.uint8),
    "haca3_bids.interfaces.figures.load_template": lambda _: SimpleNamespace(head=head()),
    **{f"haca3_bids.interfaces.figures.draw_{name}": _draw for name in ("flicker", "histogram", "registration")},
}
