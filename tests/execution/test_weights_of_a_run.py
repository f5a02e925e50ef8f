from __future__ import annotations

import json
from pathlib import Path

import pytest

from haca3_bids.checkpoints.formats import Reference, save_checkpoint
from haca3_bids.errors import Unavailable, UsageError
from haca3_bids.execution import run
from haca3_bids.execution.weights import find_weights, with_weights
from haca3_bids.networks.haca3 import Haca3, Haca3Config
from haca3_bids.records.engine import Weights
from haca3_bids.settings import HarmonizationSettings, Settings


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    references = {"T1w": Reference("T1w", (1, 2), (0.3, 0.5), 900.0, "a head")}
    save_checkpoint(path, Haca3(Haca3Config(beta_base=2, decoder_base=2)), references=references, card={})
    return path


def found(file: Path, **more: str) -> Weights:
    return find_weights(HarmonizationSettings(weights=str(file), fusion_weights="median", **more))


def test_weights_are_read_in_a_process_of_their_own(file: Path) -> None:
    weights = found(file, device="cpu", variant="haca3plus")
    assert (weights.variant, weights.device, weights.fusion) == ("haca3plus", "cpu", "median")
    assert weights.references["T1w"].theta == (1.0, 2.0)
    assert len(weights.sha256) == 64
    resolved = with_weights(HarmonizationSettings(weights=str(file)), weights)
    assert (resolved.weights, resolved.variant) == (str(file.resolve()), "haca3plus")
    assert json.dumps(weights.described())


def test_a_fusion_network_beside_a_mixture_model_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    weights = Weights("builtin", "b", "0", "mixture", "/a/f.pt", "1", {}, "cpu")
    monkeypatch.setattr(run, "find_weights", lambda _: weights)
    monkeypatch.setattr(run, "check_template", lambda _: {})
    with pytest.raises(UsageError, match=r"--fusion-weights f\.pt does not apply to builtin"):
        run.check_means(Settings(tmp_path, tmp_path / "out"))


def test_missing_broken_or_foreign_weights_are_69(file: Path, tmp_path: Path) -> None:
    for content in (file.read_bytes()[:500], b"nothing of the kind"):
        broken = tmp_path / "broken.safetensors"
        broken.write_bytes(content)
        with pytest.raises(Unavailable, match=r"broken\.safetensors"):
            found(broken)
    with pytest.raises(Unavailable, match="cannot be found"):
        found(tmp_path / "missing.pt")


def test_a_gpu_that_is_asked_for_and_absent_is_69_with_the_container_hint(file: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        found(file, device="cuda:99")
    assert "--gpus all" in caught.value.hint
    with pytest.raises(UsageError):
        found(file, device="tpu")
