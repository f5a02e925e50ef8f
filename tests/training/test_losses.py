"""Losses at points where their value is known."""

import math

import pytest
import torch

from haca3_bids.training.losses import kl_to_standard_normal, masked_l1, patch_nce, severity_margin, structural


def test_l1_looks_only_inside_the_mask():
    image, truth, mask = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    truth[..., :2, :] = 3
    truth[..., 2:, :] = 100
    mask[..., :2, :] = 1
    assert masked_l1(image, truth, mask).item() == pytest.approx(3)


def test_a_constant_offset_has_no_structure():
    truth = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert structural(truth + 0.3, truth, torch.ones_like(truth)).item() == pytest.approx(0, abs=1e-6)
    assert structural(truth.flip(-1), truth, torch.ones_like(truth)).item() > 0.1


def test_the_standard_normal_is_no_distance_from_itself():
    assert kl_to_standard_normal(torch.zeros(3, 2), torch.zeros(3, 2)).item() == 0
    assert kl_to_standard_normal(torch.ones(3, 2), torch.zeros(3, 2)).item() == pytest.approx(1.0)


def test_a_patch_that_finds_itself_costs_less_than_one_that_cannot():
    features = torch.eye(8)
    others = torch.stack([torch.cat([features[:i], features[i + 1 :]]) for i in range(8)])
    found = patch_nce(features, features, others).item()
    chance = patch_nce(torch.ones(8, 8), features, others).item()
    assert found < 0.01
    assert chance == pytest.approx(math.log(8), rel=1e-4)


def test_positives_and_negatives_carry_no_gradient():
    query, positive, negatives = (torch.rand(*shape, requires_grad=True) for shape in ((4, 8), (4, 8), (4, 3, 8)))
    patch_nce(query, positive, negatives).backward()
    assert query.grad is not None
    assert positive.grad is None
    assert negatives.grad is None


def test_the_margin_grows_with_the_severity():
    near, far = torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])
    mild = severity_margin(near, near, far, torch.tensor([0.5])).item()
    severe = severity_margin(near, near, far, torch.tensor([2.0])).item()
    assert mild == 0
    assert severe == pytest.approx(1.0)
