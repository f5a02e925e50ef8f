import dataclasses

import pytest
import torch

from haca3_bids.networks.mixture import (
    CARRY,
    DOUBT,
    LARGEST_DOUBT,
    RELIABILITY,
    Anatomy,
    Mixture,
    MixtureConfig,
    Sources,
)

CONFIG = MixtureConfig(("csf", "grey", "white", "fat"), widths=(8, 12, 16, 16), hidden=8, keys=4)
CLASSES, PIXELS = CONFIG.classes, 50


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Mixture(CONFIG).eval().requires_grad_(False)


@pytest.fixture
def session():
    """Three sources in some voxels."""
    chance = torch.Generator().manual_seed(1)
    maps = torch.randn(1, 3, CONFIG.channels, PIXELS, generator=chance)
    images, thetas = torch.rand(1, 3, PIXELS, generator=chance), torch.rand(1, 3, 4, generator=chance)
    thetas[..., 2] = 1
    return Sources(maps, images, thetas, torch.ones(1, 3, PIXELS, dtype=torch.bool))


@pytest.fixture
def target():
    return torch.tensor([[0.6, 0.2, 1.0, 0.4]])


NONE_OWN = torch.zeros(1, 3, dtype=torch.bool)


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


def test_attention_adds_up_to_one_where_somebody_looks_and_is_zero_elsewhere(model, session, target):
    session.covers[:, 0, :10] = session.covers[:, :, 40:] = False
    alpha = model.attend(session, target)
    torch.testing.assert_close(alpha.sum(dim=1)[:, :40], torch.ones(1, 40))
    assert not alpha[~session.covers].any()


def test_a_less_reliable_source_is_attended_less(model, session, target):
    before = model.attend(session, target)
    session.maps[:, 1, RELIABILITY, :20] -= 1.0
    after = model.attend(session, target)
    assert (after[:, 1, :20] < before[:, 1, :20]).all()
    assert torch.equal(after[..., 20:], before[..., 20:])


def test_the_order_of_the_sources_does_not_matter(model, session, target):
    order = [2, 0, 1]
    fields = {field.name: getattr(session, field.name)[:, order] for field in dataclasses.fields(session)}
    own = torch.tensor([[True, False, False]])
    one = model.harmonize(session, target, own)
    other = model.harmonize(Sources(**fields), target, own[:, order])
    torch.testing.assert_close(one.image, other.image)
    torch.testing.assert_close(one.fused.delta, other.fused.delta)
    torch.testing.assert_close(one.fused.beta.sum(dim=1), torch.ones(1, PIXELS))


def test_a_trusted_scan_that_has_the_targets_contrast_already_stays_as_it_is(model, session):
    session.maps[:, 1, CARRY] = 50.0
    own = torch.tensor([[False, True, False]])
    image = model.harmonize(session, session.thetas[:, 1], own).image
    torch.testing.assert_close(image, session.images[:, 1])  # the scale of the residual begins at one


def test_a_scan_that_is_not_trusted_adds_nothing_but_anatomy(model, session, target):
    session.maps[:, 1, CARRY] = -50.0
    trusted_not = model.harmonize(session, target, torch.tensor([[False, True, False]])).image
    torch.testing.assert_close(trusted_not, model.harmonize(session, target, NONE_OWN).image)


def test_corrected_fractions_are_those_that_the_sources_show(model, target):
    """A voxel taken for half fluid, half grey matter is found to be a quarter and three quarters, from one scan."""
    theta, truth = torch.tensor([[[0.3, 0.8, 1.0, 1.9]]]), torch.tensor([0.25, 0.75])
    half = Anatomy((pure(0).beta + pure(1).beta) / 2, pure(0).delta)
    maps = torch.zeros(1, 1, CONFIG.channels, PIXELS)
    maps[:, :, DOUBT] = -LARGEST_DOUBT
    scan = (theta[0, 0, :2] @ truth).expand(1, 1, PIXELS)
    corrected, left = model.correct(half, Sources(maps, scan, theta, torch.ones(1, 1, PIXELS, dtype=torch.bool)))
    torch.testing.assert_close(corrected.beta[0, :2, 0], truth, rtol=0, atol=2e-3)
    torch.testing.assert_close(corrected.beta.sum(dim=1), torch.ones(1, PIXELS))
    assert left.abs().max() < 2e-3
    torch.testing.assert_close(model.decode(corrected, target)[0, 0], target[0, :2] @ truth, rtol=0, atol=5e-3)


def test_the_more_a_source_is_doubted_the_less_it_corrects(model, session):
    fused = model.fuse(session.maps, model.attend(session, session.thetas[:, 0]))
    changes = []
    for doubt in (-LARGEST_DOUBT, 0.0, LARGEST_DOUBT):
        session.maps[:, :, DOUBT] = doubt
        corrected, _ = model.correct(fused, session)
        changes.append(float((corrected.beta - fused.beta).abs().mean()))
    assert changes[0] > changes[1] > 10 * changes[2]


def test_a_source_corrects_only_what_it_covers(model, session):
    session.covers[:, :, 20:] = False
    fused = model.fuse(session.maps, model.attend(session, session.thetas[:, 0]))
    corrected, left = model.correct(fused, session)
    assert torch.equal(corrected.beta[..., 20:], fused.beta[..., 20:])
    assert not left[..., 20:].any()


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
    assert MixtureConfig(**dataclasses.asdict(CONFIG)) == CONFIG
    assert dataclasses.replace(CONFIG, free=0).classes == 5
