"""The networks give the authors' numbers on the same weights and inputs (tests/data)."""

import numpy as np
import pytest
import torch

from haca3_bids.networks.attention import attention_maps, smooth_maps
from haca3_bids.networks.haca3 import argmax_beta, one_channel

pytestmark = pytest.mark.usefixtures("no_gradients")


@pytest.fixture(scope="module")
def no_gradients():
    with torch.no_grad():
        yield


def assert_close_to_range(found, expected):
    """Within 1e-4 of the range of what is expected."""
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-4 * np.ptp(expected))


def coarse(images):
    return images[..., ::14, ::14]


@pytest.fixture(scope="module")
def encoded(model, slices):
    with torch.no_grad():
        flat = slices.flatten(0, 1)
        theta, logvar = model.theta_encoder(flat)
        parts = model.beta_encoder(flat), theta, logvar, model.eta_encoder(flat)
    return [part.unflatten(0, (3, 3)) for part in parts]


@pytest.fixture(scope="module")
def query(golden):
    return torch.from_numpy(np.concatenate([golden["target_theta"], golden["target_eta"]]))[None].expand(3, -1)


@pytest.fixture(scope="module")
def keys(encoded):
    _, theta, _, eta = encoded
    return torch.cat([theta, eta], dim=2).transpose(0, 1)


def test_state_dict_has_the_keys_and_shapes_of_the_released_checkpoints(model, fusion_net, shapes):
    wanted = {f"{part}.{key}": shape for part, keys in shapes.items() for key, shape in keys.items()}
    found = {key: list(value.shape) for key, value in model.state_dict().items()}
    found |= {f"fusion_net.{key}": list(value.shape) for key, value in fusion_net.state_dict().items()}
    assert found == wanted


def test_encoders_match_the_authors(encoded, golden):
    logits, theta, logvar, eta = encoded
    assert_close_to_range(coarse(logits), golden["beta_logits"])
    np.testing.assert_allclose(theta, golden["theta_mean"], rtol=0, atol=1e-5)
    assert_close_to_range(logvar, golden["theta_logvar"])
    assert_close_to_range(eta, golden["eta"])


def test_target_theta_and_eta_are_means_over_twenty_coronal_slices(model, canvases, golden):
    coronal = canvases[3].transpose(1, 2, 0)[100:120, ::-1]
    images = torch.from_numpy(np.ascontiguousarray(coronal))[:, None]
    np.testing.assert_allclose(model.theta_encoder(images)[0].mean(0), golden["target_theta"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(model.eta_encoder(images).mean(0), golden["target_eta"], rtol=0, atol=1e-5)


def test_attention_matches_the_authors(model, keys, query, golden):
    alpha = model.attention_module(query, keys)
    np.testing.assert_allclose(alpha, golden["attention_t5"], rtol=0, atol=1e-5)
    without_t2w = torch.tensor([True, False, True]).expand(3, -1)
    dropped = model.attention_module(query, keys, without_t2w, temperature=10.0)
    np.testing.assert_allclose(dropped, golden["attention_t10_without_T2w"], rtol=0, atol=1e-5)


def test_fused_anatomy_matches_the_authors(model, encoded, golden):
    alpha = torch.from_numpy(golden["attention_t5"])[:, :, None, None]
    fused = model.fuse(encoded[0].transpose(0, 1), alpha)
    assert_close_to_range(coarse(fused), golden["fused_logits_t5"])
    levels = argmax_beta(fused).argmax(dim=1, keepdim=True)
    assert (levels.numpy() != golden["label_map"]).mean() < 1e-4


def test_decoder_matches_the_authors(model, slices, golden):
    label_map = torch.from_numpy(golden["label_map"].astype(np.int64))
    beta = torch.nn.functional.one_hot(label_map[:, 0], 5).permute(0, 3, 1, 2).float()
    theta = torch.from_numpy(golden["target_theta"])[None].expand(3, -1)
    decoded = model.decode(beta, theta)
    assert_close_to_range(coarse(decoded), golden["decoded"])
    masked = (decoded * (slices[0] > 1e-6)).sum(dim=(1, 2, 3))
    np.testing.assert_allclose(masked, golden["decoded_masked_sum"], rtol=1e-4)


def test_decoder_sees_the_index_of_the_level_over_their_number(golden):
    index = torch.from_numpy(golden["label_map"].astype(np.int64))
    one_hot = torch.nn.functional.one_hot(index[:, 0], 5).permute(0, 3, 1, 2).float()
    assert torch.allclose(one_channel(one_hot), index / 5)


def test_patch_features_match_the_authors(model, slices, golden):
    assert_close_to_range(model.patchifier(slices[0])[:, ::8], golden["patch_features"])


def test_fusion_network_matches_the_authors(fusion_net, canvases, golden):
    block = canvases[:3].transpose(0, 3, 2, 1)[:, 92:132, 88:136, 92:132]
    fused = fusion_net(torch.from_numpy(np.ascontiguousarray(block))[None])[0, 0]
    assert_close_to_range(fused[::3, ::3, ::3], golden["fusion_out"])


def test_attention_maps_of_haca3plus_match_the_authors(model, encoded, keys, query, slices, golden):
    masks = (slices[:2, :, 0] > 1e-2).transpose(0, 1).clone()
    masks[:, 1, 150:] = False
    maps = smooth_maps(attention_maps(model.attention_module(query, keys[:, :2]), masks))
    np.testing.assert_allclose(coarse(maps), golden["plus_attention_limited_T2w"], rtol=0, atol=1e-5)
    assert_close_to_range(coarse(model.fuse(encoded[0].transpose(0, 1)[:, :2], maps)), golden["plus_fused_logits"])


def test_forward_encodes_attends_fuses_and_decodes(model, slices, golden):
    sources = slices[:, :1, 0].transpose(0, 1)  # (slices, sources, h, w), of one slice
    target = sources[:, 1]
    keys = model.codes(sources.flatten(0, 1)[:, None]).unflatten(0, sources.shape[:2])
    query = model.codes(target[:, None])
    logits = model.encode(sources.flatten(0, 1)[:, None]).unflatten(0, sources.shape[:2])
    alpha = model.attention_module(query, keys)
    beta = argmax_beta((logits * alpha[:, :, None, None, None]).sum(dim=1))
    plane = query[:, :2, None, None].expand(-1, -1, 224, 224)
    image = model.decoder(torch.cat([one_channel(beta), plane], dim=1))
    torch.testing.assert_close(model(sources, target), image)
