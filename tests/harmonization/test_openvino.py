import sys

import numpy as np
import pytest
import torch

from haca3_bids.checkpoints.formats import Checkpoint
from haca3_bids.harmonization import openvino
from haca3_bids.harmonization.device import half_precision
from haca3_bids.harmonization.engine import harmonize
from haca3_bids.harmonization.target import Target
from haca3_bids.networks.haca3 import Haca3
from haca3_bids.settings import HarmonizationSettings
from haca3_bids.volumes.volume import Volume

CPU = torch.device("cpu")
has_openvino = pytest.mark.skipif(openvino._openvino() is None, reason="needs openvino")
has_bf16 = pytest.mark.skipif(not openvino.computes_bf16(CPU), reason="needs a processor with bf16 arithmetic")


@has_openvino
@has_bf16
def test_compiled_networks_give_the_numbers_of_pytorch():
    torch.manual_seed(0)
    model, x, theta = Haca3().eval(), torch.rand(2, 1, 224, 224), torch.rand(2, 2)
    with torch.inference_mode():
        compiled = openvino.compiled(model, threads=1)
        beta = model.encode(x).softmax(dim=1)
        exact, found = outputs(model, x, beta, theta), outputs(compiled, x, beta, theta)
        with half_precision(CPU, "bf16"):
            rounded = outputs(model, x, beta, theta)
    for one, plain, new in zip(exact, rounded, found, strict=True):
        assert 0 < error(new, one) < 1.5 * error(plain, one) + 1e-3
    assert isinstance(model.decoder, torch.nn.Module)
    assert not isinstance(model.decoder, openvino.Compiled)


@has_openvino
@has_bf16
def test_the_sidecar_names_openvino_and_the_same_input_gives_the_same_bits():
    first, second = harmonized("bf16"), harmonized("bf16")
    assert first.device == f"cpu ({openvino.version()})"
    assert openvino.version().startswith("OpenVINO 20")
    assert first.precision == "bf16"
    np.testing.assert_array_equal(first.image.data, second.image.data)


def test_fp32_is_computed_by_pytorch():
    assert harmonized("fp32").device == "cpu"


def test_pytorch_computes_bf16_where_openvino_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    found = harmonized("bf16")
    assert (found.device, found.precision) == ("cpu", "bf16")


@has_openvino
def test_openvino_reports_nothing():
    assert "openvino_telemetry" not in sys.modules or sys.modules["openvino_telemetry"] is None


def outputs(model, x, beta, theta):
    return model.encode(x), model.codes(x), model.decode(beta, theta)


def error(found, exact):
    """Root mean square, as a fraction of the standard deviation."""
    return ((found.float() - exact).square().mean().sqrt() / exact.std()).item()


def harmonized(precision):
    torch.manual_seed(0)
    noise = np.random.default_rng(0).normal(0, 20, (4, 4, 4))
    levels = {"T1w": 900, "T2w": 700}
    scans = {name: Volume((level + noise).astype(np.float32), np.eye(4)) for name, level in levels.items()}
    checkpoint = Checkpoint(Haca3().eval(), name="random", sha256="", references={}, card={})
    target = Target("t", "T1w", (0.5, 1.0), (0.3, 0.5), 1000.0, "test")
    settings = HarmonizationSettings(device="cpu", threads=1, precision=precision)
    return harmonize(scans, [target], checkpoint, None, settings)[0]
