"""The engines on a GPU, which the CPU pretends to be: no tensor is on the wrong device, and the images are the same."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from pretended_gpu import pretended_gpu

from haca3_bids.harmonization import engine
from haca3_bids.harmonization.engine import encode_targets, harmonize
from haca3_bids.harmonization.target import Target, target_from_reference
from haca3_bids.networks.haca3 import Haca3

EXTRAS = ("attention", "beta")


@pytest.fixture
def gpu(monkeypatch):
    with pretended_gpu() as device:
        monkeypatch.setattr(engine, "choose_device", lambda wanted: device if wanted == "cuda" else _cpu(wanted))
        yield "cuda"


def _own(weights):
    """A copy, because the networks are moved."""
    return dataclasses.replace(weights, model=copy.deepcopy(weights.model))


def _cpu(wanted):
    raise AssertionError(f"{wanted} was asked for")


@pytest.fixture(scope="module")
def paper(tiny):
    """The networks of the paper, with random weights."""
    torch.manual_seed(0)
    return dataclasses.replace(tiny, model=Haca3().eval().requires_grad_(False))


@pytest.mark.parametrize(
    "kind", ["mixture", "tiny", *(pytest.param(one, marks=pytest.mark.slow) for one in ("tiny_plus", "paper"))]
)
def test_images_are_those_of_the_cpu(kind, request, pair, settings, fusion_net):
    weights, net = _own(request.getfixturevalue(kind)), None if kind == "mixture" else copy.deepcopy(fusion_net)
    settings = dataclasses.replace(settings, threads=1)
    numbers = Target("site", "T2w", (0.3, 1.0), (0.3, 0.5), 1000.0, "numbers")
    targets = [target_from_reference("T2w", weights) if kind == "mixture" else numbers]
    (expected,) = harmonize(pair, targets, weights, net, settings, extras=EXTRAS, white=800.0)
    on_gpu = dataclasses.replace(settings, device=request.getfixturevalue("gpu"))
    (found,) = harmonize(pair, targets, weights, net, on_gpu, extras=EXTRAS, white=800.0)
    assert found.device == "meta"
    off = np.abs(found.image.data - expected.image.data) > 1e-3 * expected.image.data.max()
    assert off.mean() < (0.01 if kind == "paper" else 1e-9)  # rounding changes the likeliest level of a few voxels
    assert (found.beta.data == expected.beta.data).mean() > 0.999
    for name, volume in found.attention_maps.items():
        np.testing.assert_allclose(volume.data, expected.attention_maps[name].data, atol=1e-3)


def test_the_mixture_model_does_not_wait_for_the_gpu_after_every_slice(pair, mixture, settings, gpu, monkeypatch):
    downloads, cpu = [], torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda one: downloads.append(one.shape) or cpu(one))
    counts = []
    for size in (1, 16):
        weights = _own(mixture)
        on_gpu = dataclasses.replace(settings, threads=1, device=gpu, batch_size=size)
        harmonize(pair, [target_from_reference("T2w", weights)], weights, None, on_gpu, white=800.0)
        counts.append(len(downloads))
        downloads.clear()
    assert counts[0] == counts[1]


@pytest.mark.parametrize("kind", ["mixture", "tiny"])
def test_targets_are_those_of_the_cpu(kind, request, pair, settings):
    weights, settings = _own(request.getfixturevalue(kind)), dataclasses.replace(settings, threads=1)
    expected = encode_targets(pair, weights, settings)
    found = encode_targets(pair, weights, dataclasses.replace(settings, device=request.getfixturevalue("gpu")))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose((*one.theta, *one.eta), (*other.theta, *other.eta), rtol=1e-3, atol=1e-4)


def test_a_tensor_on_the_wrong_device_is_noticed(gpu):
    there = torch.rand(3, device="meta")
    with pytest.raises(RuntimeError, match="same device"):
        there + torch.rand(3)
    with pytest.raises(RuntimeError):
        there.numpy()
