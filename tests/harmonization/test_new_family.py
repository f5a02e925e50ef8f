"""A network family is a module, its configuration and one row: as in docs/explanation/architecture.md."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from haca3_bids.checkpoints.formats import load_checkpoint, save_checkpoint
from haca3_bids.checkpoints.header import FAMILIES
from haca3_bids.harmonization.engine import harmonize
from haca3_bids.harmonization.target import target_from_reference
from haca3_bids.networks.mixture import Mixture, MixtureConfig


@dataclass(frozen=True, kw_only=True)
class DimmedConfig(MixtureConfig):
    """The mixture model, with all images darker."""

    percent: int
    variant = "dimmed"


class Dimmed(Mixture):
    """Decodes every image with a fraction of its intensity."""

    def harmonize(self, sources, target, own):
        made = super().harmonize(sources, target, own)
        return dataclasses.replace(made, image=made.image * self.config.percent / 100)


def test_a_new_family_needs_one_row(pair, mixture, settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILIES, DimmedConfig, Dimmed)
    model = Dimmed(DimmedConfig(**dataclasses.asdict(mixture.model.config), percent=50))
    model.load_state_dict(mixture.model.state_dict())
    file = tmp_path / "dimmed.safetensors"
    save_checkpoint(file, model, references=mixture.references, card={}, priors=mixture.priors, half=False)

    checkpoint = load_checkpoint(file)
    assert (type(checkpoint.model), checkpoint.variant) == (Dimmed, "dimmed")
    targets = [target_from_reference("T2w", mixture)]
    (dimmed,), (usual,) = (harmonize(pair, targets, one, None, settings, white=800.0) for one in (checkpoint, mixture))
    np.testing.assert_allclose(dimmed.image.data, usual.image.data / 2, rtol=1e-3, atol=0.1)
