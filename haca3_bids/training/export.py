"""From trained networks to weight files: half precision, built-in targets, a card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from haca3_bids.checkpoints.formats import Checkpoint, Reference, save_checkpoint, save_fusion
from haca3_bids.harmonization.target import encode_target
from haca3_bids.networks.fusion import FusionNet
from haca3_bids.networks.haca3 import Haca3
from haca3_bids.physics.anatomy import AFFINE, SHAPE, Anatomy
from haca3_bids.physics.cohort import rendered
from haca3_bids.physics.protocols import REFERENCE_PROTOCOLS
from haca3_bids.physics.render import texture, tissue_weights
from haca3_bids.physics.scanner import Imperfections, acquire
from haca3_bids.physics.signal import Protocol
from haca3_bids.physics.tissues import TISSUES
from haca3_bids.reports.pixels import save_jpeg, slice_rows
from haca3_bids.reports.planes import white_end
from haca3_bids.settings import WHITE_MATTER_PEAK, HarmonizationSettings
from haca3_bids.volumes.volume import Volume

REFERENCE_SEED = 0
REFERENCE_NOISE = 0.015


def reference_image(head: Anatomy, protocol: Protocol) -> Volume:
    """The image a built-in target is read from: one head under a common protocol, little noise, white matter = 1000."""
    rng = np.random.default_rng(REFERENCE_SEED)
    average_person = np.zeros((3, len(TISSUES)), np.float32)
    image = rendered(head, tissue_weights(protocol, average_person), texture(SHAPE, rng))
    image = acquire(image, Imperfections(seed=REFERENCE_SEED, noise=REFERENCE_NOISE))
    return Volume(image * np.float32(WHITE_MATTER_PEAK), AFFINE)


def draw_references(head: Anatomy, folder: Path) -> None:
    """``CONTRAST.jpg`` for every built-in target: slices of its reference image, for the reports."""
    for contrast, protocol in REFERENCE_PROTOCOLS.items():
        image = reference_image(head, protocol)
        save_jpeg(slice_rows(image, "grey", white_end(image)), folder / f"{contrast}.jpg")


def builtin_references(model: Haca3, head: Anatomy) -> dict[str, Reference]:
    """Theta, eta and scale of every contrast's reference image."""
    checkpoint = Checkpoint(model.eval(), "in training", "", {}, {})
    references = {}
    for contrast, protocol in REFERENCE_PROTOCOLS.items():
        target = encode_target(
            reference_image(head, protocol), contrast, checkpoint, HarmonizationSettings(device="cpu")
        )
        description = f"{contrast} simulated at {protocol.field_t:g} T ({protocol.sequence}, head {head.name})"
        references[contrast] = Reference(contrast, target.theta, target.eta, target.scale, description)
    return references


def export(model: Haca3, fusion: FusionNet, head: Anatomy, folder: Path, card: Mapping[str, str]) -> None:
    """Write ``haca3.safetensors``, ``fusion.safetensors`` and a picture of each built-in target."""
    folder.mkdir(parents=True, exist_ok=True)
    model.half().float()  # the references must be those of the stored half-precision weights
    save_checkpoint(folder / "haca3.safetensors", model, references=builtin_references(model, head), card=card)
    save_fusion(folder / "fusion.safetensors", fusion, card=card)
    draw_references(head, folder)
