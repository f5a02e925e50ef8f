from __future__ import annotations

import numpy as np
import pytest

from haca3_bids.interfaces.super_resolution import SuperResolve
from haca3_bids.records.files import from_json
from haca3_bids.records.preprocessing import Preprocessing
from haca3_bids.settings import PreprocessingSettings
from haca3_bids.volumes.volume import Volume, load_volume, save_volume
from haca3_bids.workflows.preprocess import init_preprocess_wf


@pytest.fixture
def scan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def make(*zooms: float):
        data = np.random.default_rng(0).random((24, 24, 6)).astype(np.float32) + 1
        save_volume(Volume(data, np.diag([*zooms, 1.0])), tmp_path / "scan.nii.gz")
        return str(tmp_path / "scan.nii.gz")

    return make


def test_thick_slices_become_thin_in_a_process_of_its_own(scan) -> None:
    done = SuperResolve(in_file=scan(1.0, 1.0, 3.0), contrast="T2w", sloppy=True).run().outputs
    assert load_volume(done.out_file).shape == (24, 24, 18)
    facts = from_json(done.facts, Preprocessing).contrasts["T2w"]
    assert (facts.super_resolution, facts.thin_spacing_mm) == ("builtin", 1.0)


def test_a_volume_is_handed_on_as_it_is(scan) -> None:
    path = scan(1.0, 1.0, 1.2)
    done = SuperResolve(in_file=path, contrast="T2w", method="eclare").run().outputs
    assert done.out_file == path
    assert from_json(done.facts, Preprocessing).contrasts["T2w"].super_resolution == "none"


@pytest.mark.parametrize(("method", "steps"), [("none", 0), ("builtin", 1), ("eclare", 1)])
def test_only_who_asks_for_thin_slices_has_the_step(scan, method, steps) -> None:
    settings = PreprocessingSettings(super_resolution=method, threads=2)
    graph = init_preprocess_wf({"T1w": scan(1.0, 1.0, 3.0)}, settings)
    nodes = [node for node in graph._get_all_nodes() if node.name.startswith("super_resolution")]
    assert len(nodes) == steps
    for node in nodes:
        assert (node.inputs.method, node.n_procs) == (method, 2)
        assert graph._graph.has_edge(node, graph.get_node("resample_T1w"))


@pytest.mark.parametrize(("device", "on_gpu"), [("cuda:1", True), ("cpu", False)])
def test_eclare_runs_on_the_device_of_the_networks(scan, device, on_gpu) -> None:
    settings = PreprocessingSettings(super_resolution="eclare", threads=2, device=device)
    graph = init_preprocess_wf({"T1w": scan(1.0, 1.0, 3.0)}, settings)
    node = graph.get_node("super_resolution_T1w")
    assert (node.inputs.device, node.inputs.use_gpu, node.is_gpu_node()) == (device, on_gpu, on_gpu)


def test_the_built_in_network_takes_no_slot_of_a_gpu(scan) -> None:
    settings = PreprocessingSettings(super_resolution="builtin", device="cuda:0")
    node = init_preprocess_wf({"T1w": scan(1.0, 1.0, 3.0)}, settings).get_node("super_resolution_T1w")
    assert not node.is_gpu_node()
