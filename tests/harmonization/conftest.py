"""A checkpoint of the golden weights, their phantoms, and settings that leave background and speed out of the way."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from haca3_bids.checkpoints.formats import Checkpoint, Reference
from haca3_bids.networks.fusion import FusionNet
from haca3_bids.networks.haca3 import Haca3, Haca3Config
from haca3_bids.settings import HarmonizationSettings
from haca3_bids.volumes.volume import Volume

DATA = Path(__file__).parents[1] / "data"
AUTHORS_AFFINE = np.array([[-1.0, 0, 0, 96], [0, -1, 0, 96], [0, 0, 1, -78], [0, 0, 0, 1]])


@pytest.fixture(scope="session")
def golden():
    return np.load(DATA / "golden.npz")


@pytest.fixture(scope="session")
def golden_inputs():
    return runpy.run_path(str(DATA / "golden_inputs.py"))


def _state(golden_inputs, parts):
    shapes = json.loads((DATA / "state_dict.json").read_text())
    weight = golden_inputs["weight"]
    return {
        part: {key: torch.from_numpy(weight(f"{part}.{key}", tuple(shape))) for key, shape in shapes[part].items()}
        for part in parts(shapes)
    }


@pytest.fixture(scope="session")
def state(golden_inputs):
    """Nested, as in the authors' files."""
    return _state(golden_inputs, lambda shapes: [part for part in shapes if part != "fusion_net"])


@pytest.fixture(scope="session")
def checkpoint(state):
    return checkpoint_of(state, "haca3")


@pytest.fixture(scope="session")
def plus_checkpoint(state):
    return checkpoint_of(state, "haca3plus")


def checkpoint_of(state, variant):
    model = Haca3(Haca3Config(variant=variant)).eval().requires_grad_(False)
    model.load_state_dict({f"{part}.{key}": value for part, keys in state.items() for key, value in keys.items()})
    reference = Reference("T2w", (-0.4, -0.8), (-1.8, 1.7), 900.0, "a phantom")
    return Checkpoint(model, "golden", "0" * 64, {"T2w": reference}, {})


@pytest.fixture(scope="session")
def fusion_net(golden_inputs):
    net = FusionNet().eval().requires_grad_(False)
    net.load_state_dict(_state(golden_inputs, lambda _: ["fusion_net"])["fusion_net"])
    return net


@pytest.fixture(scope="session")
def phantoms(golden_inputs):
    """The golden inputs on the authors' grid."""
    names = ("T1w", "T2w", "FLAIR")
    return {name: Volume(golden_inputs["phantom"](name), AUTHORS_AFFINE) for name in names}


@pytest.fixture(scope="session")
def small_heads(golden_inputs):
    """The middle 40 mm of the phantoms along each axis, smoothed off: few slices, for tests of the whole engine."""
    heads = {}
    for name in ("T1w", "T2w", "FLAIR"):
        data = golden_inputs["phantom"](name)[60:100, 92:132, 76:116].copy()
        x, y, z = np.indices(data.shape) - 19.5
        data[x**2 + y**2 + z**2 > 17**2] = 0
        heads[name] = Volume(data, AUTHORS_AFFINE @ np.diag([1, 1, 1, 1]))
    return heads


@pytest.fixture
def settings():
    return HarmonizationSettings(device="cpu", fusion_weights="median")
