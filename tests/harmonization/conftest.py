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
from haca3_bids.networks.mixture import Mixture, MixtureConfig
from haca3_bids.physics.tissues import TISSUES
from haca3_bids.settings import HarmonizationSettings
from haca3_bids.training.mixture_export import priors, references
from haca3_bids.training.tables import draw_tables
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
def small_heads(phantoms):
    """A ball of 34 mm out of each phantom."""
    return {name: Volume(_ball(phantoms[name].data, 17), AUTHORS_AFFINE) for name in phantoms}


@pytest.fixture(scope="session")
def tiny_heads(phantoms):
    """Twelve slices in each orientation."""
    return {name: Volume(_ball(phantoms[name].data, 6), AUTHORS_AFFINE) for name in phantoms}


@pytest.fixture(scope="session")
def pair(tiny_heads):
    """The two contrasts of most tests."""
    return {name: tiny_heads[name] for name in ("T1w", "T2w")}


def _ball(data, radius):
    half = radius + 3
    data = data[80 - half : 80 + half, 112 - half : 112 + half, 96 - half : 96 + half].copy()
    x, y, z = np.indices(data.shape) - (half - 0.5)
    data[x**2 + y**2 + z**2 > radius**2] = 0
    return data


@pytest.fixture(scope="session")
def tiny():
    """Narrow networks of random weights, for tests of what happens around them."""
    return tiny_checkpoint("haca3")


@pytest.fixture(scope="session")
def tiny_plus():
    return tiny_checkpoint("haca3plus")


def tiny_checkpoint(variant):
    torch.manual_seed(0)
    model = Haca3(Haca3Config(variant=variant))
    model.beta_encoder = torch.nn.Conv2d(1, 5, 3, padding=1)
    model.theta_encoder = Moments(pair=True)
    model.eta_encoder = Moments(pair=False)
    model.decoder = torch.nn.Sequential(torch.nn.Conv2d(3, 1, 3, padding=1), torch.nn.LeakyReLU(0.1), torch.nn.ReLU())
    model = model.eval().requires_grad_(False)
    model.decoder[0].weight.abs_()
    model.decoder[0].bias.fill_(3)
    return Checkpoint(model, "tiny", "1" * 64, {}, {})


class Moments(torch.nn.Module):
    """Mean and standard deviation of each image in the place of a contrast or artifact encoder."""

    def __init__(self, pair):
        super().__init__()
        self.pair = pair

    def forward(self, x):
        moments = 10 * torch.stack([x.mean(dim=(1, 2, 3)), x.std(dim=(1, 2, 3))], dim=1)
        return (moments, moments) if self.pair else moments


@pytest.fixture
def settings():
    return HarmonizationSettings(device="cpu", fusion_weights="median")


@pytest.fixture(scope="session")
def mixture():
    """A narrow mixture model of random weights, with references and priors as the built-in weights have them."""
    torch.manual_seed(0)
    model = Mixture(MixtureConfig(TISSUES, widths=(8, 8, 16, 16), hidden=8, keys=4)).eval().requires_grad_(False)
    tables = draw_tables(torch.rand(len(TISSUES), 500) / 13, seed=0, sites=60)
    return Checkpoint(model, "tiny mixture", "2" * 64, references(), {}, priors(tables))
