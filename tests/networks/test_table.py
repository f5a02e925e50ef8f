from functools import partial

import pytest
import torch

from haca3_bids.networks.table import Prior, fit_table, likeliest, measure

WHITE = 2
TRUE = torch.tensor([0.25, 0.75, 1.0, 1.9])


@pytest.fixture
def prior():
    """Tables about a mean that is not the truth."""
    chance = torch.Generator().manual_seed(0)
    tables = torch.tensor([0.4, 0.9, 1.0, 1.6]) * torch.exp(0.3 * torch.randn(500, 4, generator=chance))
    return Prior.of_tables(tables / tables[:, WHITE, None], upper=1.3)


def fractions(voxels=20_000, tissues=4):
    chance = torch.Generator().manual_seed(1)
    return torch.softmax(6 * torch.randn(voxels, tissues, generator=chance), dim=1)


def test_the_table_of_an_image_is_found_from_its_anatomy(prior):
    beta = fractions()
    x = beta @ TRUE + 0.03 * torch.randn(len(beta), generator=torch.Generator().manual_seed(2))
    fit = fit_table(beta, x, prior, WHITE, white_is_known=True)
    torch.testing.assert_close(fit.theta, TRUE, rtol=0.02, atol=0.01)
    assert fit.white == 1
    assert fit.residual == pytest.approx(0.03, rel=0.1)


def test_voxels_that_are_something_else_do_not_move_it(prior):
    beta = fractions()
    x = beta @ TRUE + 0.02 * torch.randn(len(beta), generator=torch.Generator().manual_seed(2))
    x[::7] = 6.0
    fit = fit_table(beta, x, prior, WHITE, white_is_known=True)
    torch.testing.assert_close(fit.theta, TRUE, rtol=0.04, atol=0.02)


def test_a_tissue_that_the_protocol_nulls_is_measured_nevertheless(prior):
    """Fluid in a FLAIR whose inversion time is not quite that of its sidecar."""
    beta = fractions()
    x = beta @ TRUE + 0.02 * torch.randn(len(beta), generator=torch.Generator().manual_seed(2))
    nulled = prior.about([0.01, 0.75, 1.0, 1.9])
    fit = fit_table(beta, x, nulled, WHITE, white_is_known=True, start=TRUE)
    assert float(fit.theta[0]) == pytest.approx(0.25, abs=0.03)


def test_of_a_tissue_that_is_absent_the_prior_speaks(prior):
    beta = fractions()
    beta[:, 3] = 0
    beta = beta / beta.sum(dim=1, keepdim=True)
    free = Prior(prior.mean, torch.diag(prior.covariance.diagonal()), prior.upper)
    fit = fit_table(beta, beta @ TRUE, free, WHITE, white_is_known=True)
    assert fit.theta[3] == pytest.approx(float(prior.theta[3]), rel=1e-3)
    assert fit.theta[1] == pytest.approx(0.75, rel=0.02)


def test_noise_in_a_dark_tissue_does_not_move_what_is_not_seen():
    """Bone and fat go together in the prior; noise makes bone four times brighter than any table has it."""
    chance = torch.Generator().manual_seed(0)
    together = 0.1 * torch.randn(500, 1, generator=chance)
    tables = torch.cat([0.02 * together.exp(), 1.2 * together.exp(), torch.ones(500, 1)], dim=1)
    prior = Prior.of_tables(tables, upper=1.3, jitter=0.01)
    beta = torch.tensor([[0.98, 0.02, 0.0], [0.0, 0.0, 1.0]]).repeat_interleave(5000, dim=0)
    x = torch.cat([torch.full((5000,), 0.09), torch.ones(5000)])
    fit = fit_table(beta, x + 0.02 * torch.randn(10_000, generator=chance), prior, WHITE, white_is_known=True)
    assert fit.theta[1] == pytest.approx(1.2, rel=0.25)


def test_a_fit_far_from_the_prior_converges(prior):
    beta, true = fractions(), torch.tensor([0.4, 0.9, 1.0, 6.0])
    x = beta @ true + 0.02 * torch.randn(len(beta), generator=torch.Generator().manual_seed(2))
    fit = fit_table(beta, x, prior, WHITE, white_is_known=True)
    assert fit.theta[3] == pytest.approx(6.0, rel=0.03)


def test_lesions_are_not_measured_but_follow_from_the_other_tissues(prior):
    beta = fractions()
    brighter = beta @ TRUE + 0.4 * (beta[:, 3] > 0.5)  # the last tissue
    for lesion, moved in ((3, False), (None, True)):
        fits = [fit_table(beta, x, prior, WHITE, white_is_known=True, lesion=lesion) for x in (beta @ TRUE, brighter)]
        assert (abs(fits[0].theta[3] - fits[1].theta[3]) > 0.2) == moved
        assert moved or torch.equal(fits[0].theta, fits[1].theta)


def test_the_unit_of_an_image_is_found_with_its_table(prior):
    beta = fractions()
    slices = (340.0 * (beta @ TRUE)).reshape(1, 1, 200, 100)
    inside = torch.ones(1, 200, 100, dtype=torch.bool)
    fitted = partial(fit_table, prior=prior, white=WHITE, white_is_known=False)
    fit = measure(slices / 300, lambda x, theta: beta, fitted, prior.theta, inside)
    assert fit.white == pytest.approx(340 / 300, rel=0.02)
    torch.testing.assert_close(fit.theta, TRUE, rtol=0.02, atol=0.01)


def test_an_image_is_likeliest_of_the_contrast_whose_tables_are_nearest(prior):
    other = Prior.of_tables(torch.tensor([3.0, 1.5, 1.0, 1.2]) * (1 + 0.1 * torch.rand(100, 4)), upper=2.0)
    fit = fit_table(fractions(), fractions() @ TRUE, prior, WHITE, white_is_known=True)
    assert likeliest(fit, {"T2w": other, "T1w": prior}) == "T1w"
