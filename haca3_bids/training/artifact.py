"""Training of the artifact encoder (eta), before the other networks; it is frozen afterwards."""

import numpy as np
import torch
from torch import Tensor

from haca3_bids.networks.encoders import ArtifactEncoder
from haca3_bids.physics.protocols import draw_site
from haca3_bids.physics.scanner import draw_acquisition, draw_artifacts
from haca3_bids.settings import CONTRASTS
from haca3_bids.training.loop import Batch, Losses
from haca3_bids.training.losses import severity_margin
from haca3_bids.training.simulated import SimulatedSlices

MAX_SEVERITY = 2.0
MARGIN = 0.2  # weight of the margin loss (Hays et al., MIDL 2025: see ``losses.severity_margin``)


class ArtifactTriplets(SimulatedSlices):
    """Item i, drawn from (seed, i): three slices of a scan, the third with artifacts, and the severity of each."""

    def __getitem__(self, index: int) -> dict[str, Tensor | int]:
        rng = np.random.default_rng((self.seed, index))
        person = int(rng.integers(len(self.heads)))
        protocol = draw_site(rng)[CONTRASTS[rng.integers(len(CONTRASTS))]]
        good, bad = draw_acquisition(rng, axes=2), draw_artifacts(rng)
        first, second = self.view(person, rng), self.view(person, rng)
        images = [first.acquired(protocol, good), second.acquired(protocol, good), first.acquired(protocol, bad)]
        severity = [good.severity, good.severity, min(bad.severity, MAX_SEVERITY)]
        return {"images": torch.from_numpy(np.stack(images)), "severity": torch.tensor(severity)}


def artifact_step(encoder: ArtifactEncoder, batch: Batch) -> Losses:
    """The losses of one batch of ArtifactTriplets.

    The margin loss alone converges slowly, so the first component of eta is also fitted to the simulated severity.
    """
    images, severity = batch["images"], batch["severity"]  # (batch, 3, 224, 224), (batch, 3)
    eta = encoder(images.flatten(0, 1)[:, None]).unflatten(0, images.shape[:2])
    worse = (severity[:, 2] - severity[:, 0]).clamp_min(0)
    margin = severity_margin(eta[:, 0], eta[:, 1], eta[:, 2], worse)
    supervised = (eta[..., 0] - severity).abs().mean() + 0.1 * eta[..., 1].abs().mean()
    return {"total": MARGIN * margin + supervised, "margin": margin, "supervised": supervised}
