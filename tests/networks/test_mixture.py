import dataclasses

import pytest
import torch

from haca3_bids.networks.mixture import Anatomy, Mixture, MixtureConfig

CONFIG = MixtureConfig(("csf", "grey", "white", "fat"), widths=(8, 12, 16, 16), hidden=8, keys=4)
CLASSES, PIXELS = CONFIG.classes, 50


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Mixture(CONFIG).eval().requires_grad_(False)


@pytest.fixture
def session():
    """Maps, thetas and coverage of three sources in some voxels, and a target."""
    chance = torch.Generator().manual_seed(1)
    maps = torch.randn(1, 3, CONFIG.channels, PIXELS, generator=chance)
    thetas, target = torch.rand(1, 3, 4, generator=chance), torch.rand(1, 4, generator=chance)
    thetas[..., 2] = target[..., 2] = 1
    return maps, thetas, target, torch.ones(1, 3, PIXELS, dtype=torch.bool)


def pure(index):
    beta = torch.zeros(1, CLASSES, PIXELS)
    beta[:, index] = 1
    return Anatomy(beta, torch.zeros(1, CONFIG.deviations, PIXELS))


def test_a_voxel_of_one_tissue_has_that_tissues_intensity(model):
    theta = torch.tensor([[0.3, 0.8, 1.0, 1.9]])
    for index, intensity in enumerate(theta[0]):
        assert torch.allclose(model.decode(pure(index), theta), intensity.expand(1, PIXELS))
    assert not model.decode(pure(len(CONFIG.tissues)), theta).any()  # air


def test_a_mixed_voxel_is_the_mean_of_its_tissues(model):
    theta = torch.tensor([[0.3, 0.8, 1.0, 1.9]])
    half = Anatomy((pure(1).beta + pure(2).beta) / 2, pure(1).delta)
    assert torch.allclose(model.decode(half, theta), torch.tensor(0.9).expand(1, PIXELS))


def test_attention_adds_up_to_one_where_somebody_looks_and_is_zero_elsewhere(model, session):
    maps, thetas, target, covers = session
    covers[:, 0, :10] = covers[:, :, 40:] = False
    alpha = model.attend(maps, thetas, target, covers)
    torch.testing.assert_close(alpha.sum(dim=1)[:, :40], torch.ones(1, 40))
    assert not alpha[~covers].any()


def test_a_less_reliable_source_is_attended_less(model, session):
    maps, thetas, target, covers = session
    before = model.attend(maps, thetas, target, covers)
    maps[:, 1, -3, :20] -= 1.0
    after = model.attend(maps, thetas, target, covers)
    assert (after[:, 1, :20] < before[:, 1, :20]).all()
    assert torch.equal(after[..., 20:], before[..., 20:])


def test_the_order_of_the_sources_does_not_matter(model, session):
    maps, thetas, target, covers = session
    order = [2, 0, 1]
    one = model.fuse(maps, model.attend(maps, thetas, target, covers))
    other = model.fuse(maps[:, order], model.attend(maps[:, order], thetas[:, order], target, covers[:, order]))
    torch.testing.assert_close(one.beta, other.beta)
    torch.testing.assert_close(one.delta, other.delta)
    torch.testing.assert_close(one.beta.sum(dim=1), torch.ones(1, PIXELS))


def test_a_trusted_scan_that_has_the_targets_contrast_already_stays_as_it_is(model, session):
    maps, thetas, target, covers = session
    anatomy = model.fuse(maps, model.attend(maps, thetas, target, covers))
    image, scan = model.decode(anatomy, target), torch.rand(1, PIXELS)
    trusted = model.carry(image, scan, torch.full((1, PIXELS), 50.0), anatomy, target, target)
    distrusted = model.carry(image, scan, torch.full((1, PIXELS), -50.0), anatomy, target, target)
    torch.testing.assert_close(trusted, scan)  # the scale of the residual begins at one
    torch.testing.assert_close(distrusted, image)


def test_the_encoder_gives_a_pixel_the_same_maps_wherever_the_picture_is_cut(model):
    picture, theta = torch.rand(1, 1, 224, 224), torch.rand(1, 4)
    whole = model.encode(picture, theta)
    part = model.encode(picture[..., 32:208, 32:208], theta)
    torch.testing.assert_close(whole[..., 112:128, 112:128], part[..., 80:96, 80:96], rtol=1e-4, atol=1e-5)
    assert whole.shape == (1, CONFIG.channels, 224, 224)


def test_folded_into_its_convolutions_the_encoder_gives_the_same_maps():
    torch.manual_seed(1)
    model = Mixture(CONFIG)
    with torch.no_grad():
        for _ in range(3):
            model.encode(torch.rand(4, 1, 32, 32), torch.rand(4, 4))  # norms that have seen something
        model.eval()
        picture, theta = torch.rand(2, 1, 32, 32), torch.rand(1, 4)
        torch.testing.assert_close(
            model.encoder.folded(theta)(picture), model.encode(picture, theta.expand(2, -1)), rtol=1e-4, atol=1e-5
        )


def test_the_same_slice_means_something_else_under_another_theta(model):
    picture = torch.rand(1, 1, 32, 32)
    one, other = (model.encode(picture, torch.tensor([[0.3, grey, 1.0, 1.9]])) for grey in (0.7, 1.4))
    assert (one - other).abs().max() > 1e-3


def test_a_config_survives_its_header():
    assert MixtureConfig(**CONFIG.to_dict()) == CONFIG
    assert dataclasses.replace(CONFIG, free=0).classes == 5
