"""Export of trained networks to weight files: half precision, built-in targets, a model card."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from haca3_bids.checkpoints.formats import Checkpoint, Reference, save_checkpoint, save_fusion
from haca3_bids.harmonization.engine import encode_target
from haca3_bids.networks.fusion import FusionNet
from haca3_bids.networks.haca3 import Haca3
from haca3_bids.physics.anatomy import AFFINE, SHAPE, Anatomy
from haca3_bids.physics.cohort import rendered
from haca3_bids.physics.protocols import REFERENCE_PROTOCOLS, draw_site
from haca3_bids.physics.render import texture, tissue_weights
from haca3_bids.physics.scanner import Imperfections, acquire
from haca3_bids.physics.signal import Protocol
from haca3_bids.physics.tissues import TISSUES
from haca3_bids.reports.pixels import save_jpeg, slice_rows
from haca3_bids.reports.planes import white_of_contrast
from haca3_bids.settings import CONTRASTS, WHITE_MATTER_PEAK, HarmonizationSettings
from haca3_bids.training.simulated import SimulatedSlices
from haca3_bids.volumes.volume import Volume

REFERENCE_SEED = 0
REFERENCE_NOISE = 0.015
CLEAN_SCANS, QUANTILES = 60, 21  # clean scans of each contrast, and quantiles kept of the variation of eta among them


def reference_image(head: Anatomy, protocol: Protocol) -> Volume:
    """The image that defines a built-in target: a head scanned with little noise, white matter at 1000."""
    rng = np.random.default_rng(REFERENCE_SEED)
    average_person = np.zeros((3, len(TISSUES)), np.float32)
    image = rendered(head, tissue_weights(protocol, average_person), texture(SHAPE, rng))
    image = acquire(image, Imperfections(seed=REFERENCE_SEED, noise=REFERENCE_NOISE))
    return Volume(image * np.float32(WHITE_MATTER_PEAK), AFFINE)


def draw_references(head: Anatomy, folder: Path) -> None:
    """Write ``CONTRAST.jpg`` for every built-in target: slices of its reference image, for the reports."""
    for contrast, protocol in REFERENCE_PROTOCOLS.items():
        image = reference_image(head, protocol)
        save_jpeg(slice_rows(image, "grey", white_of_contrast(contrast)), folder / f"{contrast}.jpg")


def builtin_references(model: Haca3, heads: Sequence[Anatomy]) -> dict[str, Reference]:
    """The built-in target of each contrast, from the reference image of the first head and clean scans of all heads."""
    head = heads[0]
    checkpoint = Checkpoint(model.eval(), "in training", "", {}, {})
    references = {}
    for contrast, protocol in REFERENCE_PROTOCOLS.items():
        target = encode_target(
            reference_image(head, protocol), contrast, checkpoint, HarmonizationSettings(device="cpu")
        )
        description = f"{contrast} simulated at {protocol.field_t:g} T ({protocol.sequence}, head {head.name})"
        clean = clean_eta_quantiles(model, heads, contrast, target.eta)
        references[contrast] = Reference(contrast, target.theta, target.eta, target.scale, description, clean)
    return references


@torch.no_grad()
def clean_eta_quantiles(
    model: Haca3, heads: Sequence[Anatomy], contrast: str, clean: tuple[float, ...]
) -> tuple[float, ...]:
    """Quantiles of the distance in eta from ``clean`` to clean scans of a contrast, of random heads and sites."""
    data = SimulatedSlices(heads)
    distances = []
    for number in range(CLEAN_SCANS):
        rng = np.random.default_rng((REFERENCE_SEED, CONTRASTS.index(contrast), number))
        slices = data.reference(int(rng.integers(len(heads))), draw_site(rng)[contrast], rng, inferred=True)
        eta = model.eta_encoder(torch.from_numpy(slices)[:, None]).mean(dim=0)
        distances.append(float((eta - torch.tensor(clean)).norm()))
    return tuple(np.quantile(distances, np.linspace(0, 1, QUANTILES)).tolist())


def export(
    model: Haca3,
    fusion: FusionNet | None,
    heads: Sequence[Anatomy],
    folder: Path,
    card: Mapping[str, str],
    fusion_card: Mapping[str, str],
) -> None:
    """Write ``haca3.safetensors``, a picture of each built-in target and, given one, ``fusion.safetensors``."""
    folder.mkdir(parents=True, exist_ok=True)
    model.half().float()  # the references must be those of the stored half-precision weights
    save_checkpoint(folder / "haca3.safetensors", model, references=builtin_references(model, heads), card=card)
    if fusion:
        save_fusion(folder / "fusion.safetensors", fusion, card=fusion_card)
    draw_references(heads[0], folder)
