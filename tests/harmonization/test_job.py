import json
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest

from haca3_bids.bids.atomic import write_json
from haca3_bids.checkpoints.formats import save_checkpoint
from haca3_bids.errors import BadInput
from haca3_bids.harmonization import job
from haca3_bids.harmonization.engine import Harmonized
from haca3_bids.harmonization.job import Networks, run_job
from haca3_bids.harmonization.target import Target
from haca3_bids.networks.haca3 import Haca3, Haca3Config
from haca3_bids.records.engine import HarmonizedImage, WeightsUsed
from haca3_bids.records.files import from_values
from haca3_bids.volumes.volume import load_volume, save_volume

TARGET = Target("siteB", "T2w", (-0.4, -0.8), (-1.8, 1.7), 900.0, "numbers")


@pytest.fixture
def files(tiny_heads, tmp_path):
    paths = {name: str(tmp_path / f"{name}.nii.gz") for name in ("T1w", "T2w")}
    for name, path in paths.items():
        save_volume(tiny_heads[name], path)
    return paths


@pytest.fixture
def narrow(tiny, monkeypatch):
    """The narrow networks in the place of any weights."""
    networks = Networks(tiny, None, WeightsUsed("tiny", "1" * 64, "haca3"))
    monkeypatch.setattr(job, "load_networks", lambda settings, with_fusion=True: networks)


def job_file(tmp_path, settings, **fields):
    content = {"task": "harmonize", "settings": asdict(settings), "out_dir": str(tmp_path / "out")} | fields
    path = tmp_path / "job.json"
    path.write_text(json.dumps(content))
    return path


def result_of(tmp_path):
    return json.loads((tmp_path / "out" / "result.json").read_text())


def test_a_job_leaves_images_and_a_result(files, narrow, settings, tmp_path):
    targets = [asdict(TARGET), asdict(Target("", "T1w", (1, 2), (0, 0), 1000.0, "x"))]
    file = job_file(tmp_path, settings, sources=files, targets=targets, extras=["beta", "attention", "std"])
    assert run_job(file) == 0
    result = result_of(tmp_path)
    assert [image["file"] for image in result["images"]] == ["desc-haca3siteB_T2w.nii.gz", "desc-haca3_T1w.nii.gz"]
    first = result["images"][0]
    assert from_values(first["target"], Target) == TARGET
    assert set(first["sources"]) == {"T1w", "T2w"}
    assert set(first["sources"]["T1w"]) >= {"theta", "eta", "attention"}
    assert result["peak_memory_bytes"] > 1e8
    assert (result["device"], result["precision"], result["seed"]) == ("cpu", "fp32", 0)
    written = load_volume(tmp_path / "out" / first["file"])
    assert written.has_grid_of(load_volume(files["T1w"]))
    assert load_volume(tmp_path / "out" / first["beta"]).data.max() <= 5
    assert set(first["attention_maps"]) == {"T1w", "T2w"}
    assert first["std"] is None
    expected = {"result.json"} | {
        path for image in result["images"] for path in (image["file"], image["beta"], *image["attention_maps"].values())
    }
    assert {path.name for path in (tmp_path / "out").iterdir()} == expected  # nothing half-written is left


def test_a_deviation_is_written_on_request(files, narrow, settings, tmp_path):
    drawn = replace(settings, beta="sample", samples=2)
    file = job_file(tmp_path, drawn, sources=files, targets=[asdict(TARGET)], extras=["std"])
    assert run_job(file) == 0
    assert load_volume(tmp_path / "out" / result_of(tmp_path)["images"][0]["std"]).data.min() >= 0


def test_images_become_targets(files, narrow, settings, tmp_path):
    assert run_job(job_file(tmp_path, settings, task="encode", images=files, name="siteB")) == 0
    targets = [from_values(fields, Target) for fields in result_of(tmp_path)["targets"]]
    assert [(target.name, target.contrast) for target in targets] == [("siteB", "T1w"), ("siteB", "T2w")]


def test_images_that_share_a_target_are_measured_together(tiny_heads, settings, monkeypatch):
    def measured(images, *_, name, white):
        if not name:
            raise BadInput("It is flat.")
        return [Target(name, contrast, (1.0 * len(images), 2.0), (0.3, 0.5), 1.0, "x") for contrast in images]

    monkeypatch.setattr(job, "encode_targets", measured)
    targets = [TARGET, replace(TARGET, contrast="T1w"), replace(TARGET, name="")]
    made = [Harmonized(HarmonizedImage(one), tiny_heads["T1w"], None, "cpu", "fp32", "soft") for one in targets]
    found = job.reached(made, None, settings)
    assert {key: one.theta for key, one in found.items()} == {one.key: (2.0, 2.0) for one in targets[:2]}


def test_an_expected_error_is_told_in_the_result(files, narrow, settings, tmp_path):
    twice = job_file(tmp_path, settings, sources=files, targets=[asdict(TARGET), asdict(TARGET)])
    assert run_job(twice) == 64
    assert result_of(tmp_path)["error"]["kind"] == "UsageError"
    missing = job_file(tmp_path, settings, sources={"T1w": str(tmp_path / "none.nii")}, targets=[asdict(TARGET)])
    assert run_job(missing) == 65
    assert result_of(tmp_path)["error"]["sentence"].startswith("none.nii does not exist")


def test_a_full_disk_is_an_error_of_its_own(files, narrow, settings, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(job, "save_volume", full)
    assert run_job(job_file(tmp_path, settings, sources=files, targets=[asdict(TARGET)])) == 74
    assert result_of(tmp_path)["error"]["kind"] == "InputOutputFailure"


def test_numbers_that_json_does_not_know_become_null(tmp_path):
    write_json(tmp_path / "x.json", {"a": [float("nan"), 1.0], "b": {"c": float("inf")}})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": [None, 1.0], "b": {"c": None}}


def test_the_process_of_its_own_runs_a_job_with_weights_from_a_file(tiny_heads, settings, tmp_path):
    model = Haca3(Haca3Config(beta_base=2, decoder_base=2))
    model.decoder.out_conv[2].bias.data += 0.5
    save_checkpoint(tmp_path / "weights.safetensors", model, references={}, card={})
    core = tiny_heads["T1w"].data[7:11, 7:11, 7:11]  # four slices in each orientation
    save_volume(tiny_heads["T1w"].with_data(core), tmp_path / "T1w.nii.gz")
    own = replace(settings, weights=str(tmp_path / "weights.safetensors"), background="none")
    sources = {"T1w": str(tmp_path / "T1w.nii.gz")}
    file = job_file(tmp_path, own, sources=sources, targets=[asdict(TARGET)])
    command = [sys.executable, "-m", "haca3_bids.harmonization", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = result_of(tmp_path)
    assert result["weights"]["name"] == "weights"
    assert result["fusion"]["name"] == "median"
    assert np.isfinite(load_volume(tmp_path / "out" / result["images"][0]["file"]).data).all()
    (tmp_path / "weights.safetensors").write_bytes(b"no weights")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 69
    assert "Traceback" not in done.stderr
    assert result_of(tmp_path)["error"]["kind"] == "Unavailable"
