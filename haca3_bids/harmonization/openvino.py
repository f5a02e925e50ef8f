"""The networks of HACA3 compiled by OpenVINO, an optional dependency (``pip install 'haca3_bids[openvino]'``).

OpenVINO fuses convolutions, instance norms and activations. In bf16 on a processor with AMX, a slice of two sources
takes 70 ms on one core, in PyTorch 139 ms.
"""

import copy
import importlib
import sys
import warnings
from types import ModuleType

import torch
from torch import Tensor, nn

from haca3_bids.harmonization.device import computes_bf16
from haca3_bids.networks.haca3 import Haca3
from haca3_bids.settings import Precision
from haca3_bids.volumes.canvas import CANVAS

OPTIONS = {
    "INFERENCE_PRECISION_HINT": "bf16",
    "PERFORMANCE_HINT": "LATENCY",
    "ENABLE_CPU_PINNING": False,  # otherwise, several processes would share one core
}


def usable(device: torch.device, precision: Precision) -> bool:
    """Whether OpenVINO is faster than PyTorch, which it is in bf16 on a CPU, and installed."""
    return device.type == "cpu" and precision == "bf16" and computes_bf16(device) and _openvino() is not None


def version() -> str:
    """Name and version, for the sidecar."""
    return f"OpenVINO {getattr(_openvino(), '__version__', '').partition('-')[0]}"


def compiled(model: Haca3, threads: int) -> Haca3:
    """A copy of the model that takes slices of the canvas and computes them in bf16 (``threads`` 0: as PyTorch)."""
    threads = threads or torch.get_num_threads()
    result = copy.copy(model)
    result._modules = {  # the original keeps its networks
        **model._modules,
        "beta_encoder": Compiled(model.beta_encoder, 1, threads),
        "eta_encoder": Compiled(model.eta_encoder, 1, threads),
        "decoder": Compiled(model.decoder, 3, threads),
    }
    return result


class Compiled(nn.Module):
    """A network for slices (batch, channels, 224, 224), which are computed one after the other."""

    def __init__(self, network: nn.Module, channels: int, threads: int) -> None:
        super().__init__()
        openvino = _openvino()
        assert openvino is not None
        example = torch.zeros(1, channels, CANVAS, CANVAS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tracing warns of conditions that depend on the shape
            graph = openvino.convert_model(network, example_input=example, input=[list(example.shape)])
        options = {**OPTIONS, "INFERENCE_NUM_THREADS": threads}
        self._request = openvino.Core().compile_model(graph, "CPU", options).create_infer_request()

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([torch.from_numpy(self._request.infer([one.numpy()])[0]) for one in x.split(1)])


def _openvino() -> ModuleType | None:
    """The package, which is kept from reporting its use over the network; None if it is not installed."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # as if it were not installed
    try:
        return importlib.import_module("openvino")
    except ImportError:
        return None
