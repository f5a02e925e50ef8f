"""Export of a trained mixture model to a weight file: artifact level, built-in targets, priors of theta, model card."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from haca3_bids.checkpoints.formats import Reference, save_checkpoint
from haca3_bids.networks.artifact_level import statistics
from haca3_bids.networks.mixture import Mixture
from haca3_bids.networks.table import Prior
from haca3_bids.physics.anatomy import Anatomy
from haca3_bids.physics.protocols import REFERENCE_PROTOCOLS
from haca3_bids.physics.render import tissue_weights
from haca3_bids.physics.tissues import FATTY, TISSUES
from haca3_bids.records.target import CLEAN
from haca3_bids.settings import CONTRASTS, WHITE_MATTER_PEAK
from haca3_bids.training.mixture_batches import MixtureData
from haca3_bids.training.tables import SiteTables, draw_people

SEED = 1
WORST = 3.0  # severity at which artifacts are clipped
LEVEL_BATCHES = 400  # batches of whole slices for the fit of the artifact level: minutes on one core
SEEN = 3000  # pixels of head required for a slice to be used in that fit
SUPPRESSED, SUPPRESSION = 0.2, (0.05, 0.5)  # fraction of tables with suppressed fat; range of what is left


def references() -> dict[str, Reference]:
    """The built-in targets: the average person's table under a common protocol at 3 T."""
    average_person = np.zeros((3, len(TISSUES)), np.float32)
    return {
        contrast: Reference(
            contrast,
            tuple(tissue_weights(protocol, average_person)[0].tolist()),
            CLEAN,
            WHITE_MATTER_PEAK,
            f"{contrast} at {protocol.field_t:g} T ({protocol.sequence}), from the signal equation",
        )
        for contrast, protocol in REFERENCE_PROTOCOLS.items()
    }


def priors(tables: SiteTables) -> dict[str, Prior]:
    """The prior of theta for each contrast: the distribution of tables of simulated people at all sites."""
    generator = torch.Generator().manual_seed(0)
    sites = torch.arange(len(tables.rows))
    found = {}
    for number, contrast in enumerate(CONTRASTS):
        people = draw_people(len(sites), generator)
        rows = tables.of_people(sites, torch.full_like(sites, number), people)[:, 0]
        low, high = SUPPRESSION
        left = low + (high - low) * torch.rand(len(sites), 1, generator=generator)
        suppressed = torch.rand(len(sites), 1, generator=generator) < SUPPRESSED
        rows = torch.where(suppressed & torch.from_numpy(FATTY), rows * left, rows)
        found[contrast] = Prior.of_tables(rows, float(tables.scale[:, number].mean()))
    return found


@torch.no_grad()
def fit_artifact_level(model: Mixture, data: MixtureData) -> None:
    """Fit the regression of eta to simulated whole slices; the encoder is not changed."""
    features, severity = [], []
    for batch in data.whole(LEVEL_BATCHES):
        maps = model.encode(batch.images.flatten(0, 1)[:, None], batch.thetas.flatten(0, 1))
        inside = (batch.head[:, None] * batch.covers).flatten(0, 1)
        seen = inside.sum(dim=(-2, -1)) > SEEN
        features.append(statistics(maps, inside)[seen])
        severity.append(batch.severity.flatten()[seen].clamp(max=WORST))
    model.artifact_level.fit(torch.cat(features), torch.cat(severity))


def export_mixture(model: Mixture, heads: Sequence[Anatomy], file: Path, card: Mapping[str, str]) -> None:
    """Write the model to ``file`` (.safetensors, half precision), with built-in targets, priors and model card.

    Priors and artifact level are computed from simulated scans of ``heads``.
    """
    data = MixtureData(heads, SEED, torch.device("cpu"))
    fit_artifact_level(model.eval(), data)
    file.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(file, model, references=references(), card=card, priors=priors(data.tables))
