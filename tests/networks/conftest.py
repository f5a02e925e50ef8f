"""The networks with the weights of golden_inputs, and the authors' outputs for them."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from haca3_bids.networks.fusion import FusionNet
from haca3_bids.networks.haca3 import Haca3

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="session")
def golden():
    return np.load(DATA / "golden.npz")


@pytest.fixture(scope="session")
def golden_inputs():
    return runpy.run_path(str(DATA / "golden_inputs.py"))


@pytest.fixture(scope="session")
def shapes():
    return json.loads((DATA / "state_dict.json").read_text())


@pytest.fixture(scope="session")
def model(shapes, golden_inputs):
    weight = golden_inputs["weight"]
    state = {
        f"{part}.{key}": torch.from_numpy(weight(f"{part}.{key}", tuple(shape)))
        for part, keys in shapes.items()
        if part != "fusion_net"
        for key, shape in keys.items()
    }
    model = Haca3().eval()
    model.load_state_dict(state)
    return model


@pytest.fixture(scope="session")
def fusion_net(shapes, golden_inputs):
    weight = golden_inputs["weight"]
    net = FusionNet().eval()
    net.load_state_dict(
        {key: torch.from_numpy(weight(f"fusion_net.{key}", tuple(s))) for key, s in shapes["fusion_net"].items()}
    )
    return net


@pytest.fixture(scope="session")
def canvases(golden_inputs):
    """T1w, T2w, FLAIR and the target on the canvas, scaled by their 95th percentile: (4, 224, 224, 224)."""
    volumes = [golden_inputs["phantom"](c) for c in ("T1w", "T2w", "FLAIR")]
    volumes.append(golden_inputs["phantom"]("T2w", seed=1))
    canvases = np.zeros((4, 224, 224, 224), np.float32)
    for canvas, volume in zip(canvases, volumes, strict=True):
        canvas[16:208, :, 16:208] = np.clip(volume / (np.percentile(volume, 95) + 1e-5), 0, 5)
    return canvases


@pytest.fixture(scope="session")
def slices(canvases, golden):
    """Three axial slices of the three sources, (sources, slices, 1, 224, 224)."""
    picked = canvases[:3, :, :, golden["slice_index"]].transpose(0, 3, 2, 1)
    return torch.from_numpy(np.ascontiguousarray(picked))[:, :, None]
