from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from haca3_bids.bids.discover import Session, SourceImage
from haca3_bids.bids.metadata import Metadata
from haca3_bids.bids.record import Context
from haca3_bids.execution.crash import STEPS
from haca3_bids.execution.plan import known_protocols
from haca3_bids.physics.tissues import TISSUES
from haca3_bids.records.target import Target
from haca3_bids.reports.methods import REFERENCES, methods_markdown
from haca3_bids.settings import OutputSettings, PreprocessingSettings, Settings
from haca3_bids.workflows.harmonize import EngineNeeds
from haca3_bids.workflows.participant import SessionPlan, init_participant_wf, methods, workflow_name

NEEDS = EngineNeeds("x", threads=2, use_gpu=False)
TARGET = Target("", "T1w", (0, 0), (0, 0), 1.0, "x")


def plan(tmp_path: Path, label: str, *contrasts: str) -> SessionPlan:
    images = {}
    for contrast in contrasts:
        path = tmp_path / f"sub-{label}_{contrast}.nii.gz"
        path.touch()
        images[contrast] = SourceImage(contrast, path, {}, "")
    session = Session(label, None, images)
    context = Context(session, tmp_path, tmp_path / "out", "MNI152NLin2009cSym", "haca3-bids")
    return SessionPlan(context, [TARGET], {})


def graph(tmp_path: Path, settings: Settings, needs: EngineNeeds = NEEDS) -> Any:
    plans = [plan(tmp_path, "01", "T1w", "T2w"), plan(tmp_path, "02", "FLAIR")]
    return init_participant_wf(plans, settings, needs)._create_flat_graph()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path, tmp_path / "out")


def test_nothing_connects_one_session_with_another(tmp_path: Path, settings: Settings) -> None:
    flat = graph(tmp_path, settings)
    for source, target in flat.edges():
        assert source.fullname.split(".")[1] == target.fullname.split(".")[1]
    assert {node.fullname.split(".")[1] for node in flat.nodes()} == {"sub_01_wf", "sub_02_wf"}


def test_a_failure_of_any_step_is_told_in_words(tmp_path: Path, settings: Settings) -> None:
    helpers = ("inputnode", "outputnode", "merge_")
    made = replace(settings, outputs=OutputSettings(("template", "native")))
    for node in graph(tmp_path, made).nodes():
        step = re.sub(r"_(T1w|T2w|PDw|FLAIR)$", "", node.name)
        assert step in STEPS or step.startswith(helpers), node.fullname


def test_the_native_grid_is_a_step_of_its_own_on_request_only(tmp_path: Path, settings: Settings) -> None:
    def names(made: Settings) -> set[str]:
        return {node.name for node in graph(tmp_path, made).nodes()}

    with_native = Settings(tmp_path, tmp_path / "out", outputs=OutputSettings(("template", "native")))
    assert names(with_native) - names(settings) == {"native"}


def test_on_a_gpu_the_networks_take_one_slot_and_no_more(tmp_path: Path, settings: Settings) -> None:
    def engines(needs: EngineNeeds) -> list[Any]:
        return [node for node in graph(tmp_path, settings, needs).nodes() if node.name == "harmonize"]

    for node in engines(EngineNeeds("x", threads=4, use_gpu=True)):
        assert (node.n_procs, node.is_gpu_node()) == (1, True)
    for node in engines(EngineNeeds("x", threads=4, use_gpu=False)):
        assert (node.n_procs, bool(node.is_gpu_node())) == (4, False)


def test_placing_the_networks_elsewhere_does_not_make_the_step_another(tmp_path: Path, settings: Settings) -> None:
    def digest(needs: EngineNeeds) -> str:
        (node,) = [
            one for one in graph(tmp_path, settings, needs).nodes() if "02" in one.fullname and one.name == "harmonize"
        ]
        _, value = node.inputs.get_hashval(hash_method="content")
        return str(value)

    assert digest(NEEDS) == digest(EngineNeeds("x", threads=7, use_gpu=True))
    assert digest(NEEDS) != digest(EngineNeeds("y", threads=2, use_gpu=False))


def test_names() -> None:
    session = Session("01", "1", {})
    assert workflow_name(session) == "sub_01_ses_1_wf"


@pytest.mark.parametrize(("way", "cited"), [("none", ""), ("builtin", "smore"), ("eclare", "eclare")])
def test_the_methods_say_how_thin_slices_were_made(settings: Settings, way: str, cited: str) -> None:
    said = methods(replace(settings, preprocessing=replace(settings.preprocessing, super_resolution=way)))
    assert [name for name in ("smore", "eclare") if f"[@{name}]" in said[0]] == [cited] * bool(cited)
    assert all(reference in methods_markdown(said) for reference in ("N4ITK", cited.upper()))


def test_the_methods_describe_the_family_of_the_weights(settings: Settings) -> None:
    def said(**changes: Any) -> str:
        return " ".join(methods(replace(settings, harmonization=replace(settings.harmonization, **changes))))

    assert "mixture model" in said()
    assert "mixture model" in said(weights="a/file.safetensors", variant="mixture")
    for changes in ({"weights": "haca3"}, {"weights": "a/file.pt", "variant": "haca3plus"}):
        assert "mixture model" not in said(**changes)
        assert "[@haca3]" in said(**changes)


def test_every_listed_reference_is_cited_by_some_run(settings: Settings) -> None:
    def cited(**changes: Any) -> set[str]:
        said = methods(replace(settings, preprocessing=PreprocessingSettings(**changes)))
        return set(re.findall(r"\[@(\w+)\]", " ".join(said)))

    one = cited(template="builtin", super_resolution="eclare", longitudinal=True)
    other = cited(super_resolution="builtin")
    assert one & other == {"icbm", "nipype", "bids", "ants", "n4", "haca3"}
    assert other - one == {"templateflow", "smore"}
    assert one | other == REFERENCES.keys()


def test_protocols_are_known_where_sidecars_tell_them(tmp_path: Path) -> None:
    session = plan(tmp_path, "01", "T1w", "T2w").session
    sidecar = {"MagneticFieldStrength": 3, "RepetitionTime": 2.3, "EchoTime": 0.003, "InversionTime": 0.9}
    told = replace(session.images["T1w"], metadata=Metadata(sidecar))
    found = known_protocols(replace(session, images={**session.images, "T1w": told}))
    assert list(found) == ["T1w"]
    assert found["T1w"][TISSUES.index("white")] == pytest.approx(1)
