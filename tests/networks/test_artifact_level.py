from __future__ import annotations

import torch

from haca3_bids.networks.artifact_level import ArtifactLevel, statistics


def test_statistics_are_those_of_the_head_alone():
    torch.manual_seed(0)
    maps, inside = torch.randn(2, 3, 16, 16), torch.rand(2, 16, 16) > 0.5
    outside = torch.where(inside[:, None], maps, torch.full_like(maps, 99.0))
    found = statistics(outside, inside)
    for number in range(2):
        seen = maps[number][:, inside[number]]
        torch.testing.assert_close(found[number], torch.cat([seen.mean(dim=1), seen.std(dim=1, correction=0)]))


def test_an_empty_head_has_finite_statistics():
    assert statistics(torch.ones(1, 2, 4, 4), torch.zeros(1, 4, 4)).isfinite().all()


def test_the_regression_finds_what_severity_depends_on():
    torch.manual_seed(0)
    level, inside = ArtifactLevel(3), torch.ones(400, 8, 8, dtype=torch.bool)
    severity = torch.rand(400)
    maps = torch.randn(400, 3, 8, 8)
    maps[:, 1] += 4 * severity[:, None, None]
    level.fit(statistics(maps[:300], inside[:300]), severity[:300])
    found = level(maps[300:], inside[300:])
    assert torch.corrcoef(torch.stack([found, severity[300:]]))[0, 1] > 0.98
    assert (found - severity[300:]).abs().mean() < 0.05


def test_a_map_that_never_changes_does_no_harm():
    level = ArtifactLevel(2)
    features = torch.cat([torch.rand(50, 1), torch.ones(50, 3)], dim=1)
    level.fit(features, features[:, 0])
    assert level.weight.isfinite().all()
    assert not level.weight.requires_grad
