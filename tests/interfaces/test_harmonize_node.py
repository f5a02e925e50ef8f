from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from nipype.pipeline import engine as pe

from haca3_bids.checkpoints.formats import save_checkpoint
from haca3_bids.errors import BadInput, TemporaryFailure
from haca3_bids.interfaces.harmonize import Encode, Harmonize, read_result
from haca3_bids.networks.haca3 import Haca3, Haca3Config
from haca3_bids.records.engine import EngineResult
from haca3_bids.settings import HarmonizationSettings
from haca3_bids.volumes.volume import Volume, load_volume, save_volume

SHAPE = (14, 16, 14)


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, object]:
    """A ball of 20 mm in two contrasts, and networks of a few channels."""
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij"))
    ball = ((grid**2).sum(axis=0) < 0.6).astype(np.float32)
    affine = np.diag([-2.0, -2, 2, 1])
    affine[:3, 3] = (14, 16, -14)
    rng = np.random.default_rng(0)
    paths = []
    for contrast in ("T1w", "T2w"):
        paths.append(str(tmp_path / f"{contrast}.nii.gz"))
        texture = (800 + 200 * rng.random(SHAPE)).astype(np.float32)
        save_volume(Volume(ball * texture, affine), paths[-1], in_template=True)
    save_volume(Volume(np.ones(SHAPE, np.float32), affine), tmp_path / "coverage.nii.gz")
    torch.manual_seed(0)
    weights = tmp_path / "small.safetensors"
    save_checkpoint(weights, Haca3(Haca3Config(beta_base=2, decoder_base=2)), references={}, card={})
    settings = HarmonizationSettings(weights=str(weights), fusion_weights="median", device="cpu", background="none")
    hashed = {key: value for key, value in asdict(settings).items() if key not in ("device", "batch_size", "threads")}
    return {
        "settings": json.dumps(hashed),
        "weights_sha256": "x",
        "device": "cpu",
        "contrasts": ["T1w", "T2w"],
        "preproc": paths,
        "coverage": [str(tmp_path / "coverage.nii.gz")] * 2,
    }


@pytest.fixture
def masks(tmp_path: Path, inputs: dict[str, object]) -> dict[str, str]:
    """The ball is all white matter, and nothing is known of it."""
    image = load_volume(tmp_path / "T1w.nii.gz")
    save_volume(image.with_data(image.data > 0), tmp_path / "ball.nii.gz")
    (tmp_path / "record.json").write_text("{}")
    ball = dict.fromkeys(("white_matter", "head_mask", "brain_mask"), str(tmp_path / "ball.nii.gz"))
    return ball | {"record": str(tmp_path / "record.json")}


@pytest.mark.slow
def test_the_networks_run_in_their_own_process_on_the_grid_of_the_sources(
    inputs: dict[str, object], masks: dict[str, str], tmp_path: Path
) -> None:
    encode = pe.Node(Encode(**inputs, name="site2"), name="encode", base_dir=str(tmp_path))
    targets = json.loads(Path(encode.run().outputs.targets).read_text())
    assert [(one["name"], one["contrast"]) for one in targets] == [("site2", "T1w"), ("site2", "T2w")]
    interface = Harmonize(**inputs, **masks, targets=json.dumps(targets), extras=["attention", "beta"])
    done = pe.Node(interface, name="harmonize", base_dir=str(tmp_path)).run().outputs
    result = json.loads(Path(done.result).read_text())
    assert [load_volume(path, may_be_constant=True).shape for path in done.images] == [SHAPE, SHAPE]
    assert set(result["images"][0]["sources"]) == {"T1w", "T2w"}
    for path in (*result["images"][0]["attention_maps"].values(), result["images"][0]["beta"]):
        assert Path(path).is_file()


def test_the_way_a_process_ended_becomes_an_error_of_its_class(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    with pytest.raises(TemporaryFailure, match="signal 9"):
        read_result(-9, path, "", EngineResult)
    with pytest.raises(RuntimeError, match="the last words"):
        read_result(1, path, "Traceback\nthe last words\n", EngineResult)
    path.write_text(json.dumps({"error": {"kind": "BadInput", "sentence": "It is flat.", "hint": "Look."}}))
    with pytest.raises(BadInput) as caught:
        read_result(65, path, "", EngineResult)
    assert (caught.value.sentence, caught.value.hint) == ("It is flat.", "Look.")
    path.write_text(json.dumps({"images": []}))
    assert read_result(0, path, "", EngineResult) == EngineResult()
