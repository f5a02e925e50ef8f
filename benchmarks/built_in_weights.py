"""How well the built-in weights change the contrast of given heads: ``built_in_weights.py [--slices] LABEL_MAP ...``.

Prints, for each pair of contrasts, the correlation inside the brain between the harmonized image and the true,
noise-free one under the protocol of the built-in reference. Whole volumes go through the engine as in the App (about
20 minutes a head on two cores); ``--slices`` takes two slices of each orientation slice by slice instead (a minute).
Fixed seeds draw people, protocols and noise.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from haca3_bids.checkpoints.formats import Checkpoint, load_checkpoint, load_fusion
from haca3_bids.checkpoints.registry import resolve
from haca3_bids.harmonization.engine import harmonize
from haca3_bids.harmonization.target import target_from_reference
from haca3_bids.networks.haca3 import one_channel
from haca3_bids.physics.anatomy import AFFINE, FULL, SHAPE, Anatomy, builtin_head
from haca3_bids.physics.cohort import rendered
from haca3_bids.physics.protocols import REFERENCE_PROTOCOLS, draw_site
from haca3_bids.physics.render import texture, tissue_weights
from haca3_bids.physics.scanner import acquire, draw_acquisition
from haca3_bids.physics.tissues import BRAIN, TISSUES, person_deviations
from haca3_bids.settings import HarmonizationSettings
from haca3_bids.training.heads import head_from_labels
from haca3_bids.training.simulated import ORIENTATIONS, SimulatedSlices, cut_shares
from haca3_bids.volumes.builtin import load_icbm2009a
from haca3_bids.volumes.volume import Volume

TARGETS = {"T1w": ("T2w", "FLAIR", "PDw"), "T2w": ("T1w",)}  # of each source
SLICES = (100, 125)  # of the canvas, in each orientation
SEED = 4
BRAIN_ROWS = [TISSUES.index(name) for name in BRAIN]
Found = Iterator[tuple[str, str, float]]  # source, target, correlation


def correlation(image: NDArray[np.float32], truth: NDArray[np.float32], brain: NDArray[np.bool_]) -> float:
    return float(np.corrcoef(image[brain], truth[brain])[0, 1])


def by_volume(checkpoint: Checkpoint, head: Anatomy, rng: np.random.Generator) -> Found:
    fusion = load_fusion(resolve("builtin", "fusion"))
    deviations, local, site = person_deviations(rng), texture(SHAPE, rng), draw_site(rng)
    brain = head.shares[BRAIN_ROWS].sum(axis=0, dtype=np.int32) > FULL // 2
    for source, contrasts in TARGETS.items():
        seen = rendered(head, tissue_weights(site[source], deviations), local)
        scan = Volume(acquire(seen, draw_acquisition(rng)), AFFINE)
        targets = [target_from_reference(contrast, checkpoint, contrast) for contrast in contrasts]
        for made in harmonize({source: scan}, targets, checkpoint, fusion, HarmonizationSettings(device="auto")):
            truth = rendered(head, tissue_weights(REFERENCE_PROTOCOLS[made.target.contrast], deviations), local)
            yield source, made.target.contrast, correlation(made.image.data, truth, brain)


@torch.inference_mode()
def by_slice(checkpoint: Checkpoint, head: Anatomy, rng: np.random.Generator) -> Found:
    data, model = SimulatedSlices([head]), checkpoint.model
    for shares in (cut_shares(head, orientation, index) for orientation in ORIENTATIONS for index in SLICES):
        view = data.view_of(0, shares, person_deviations(rng), rng)
        brain, site = shares[BRAIN_ROWS].sum(axis=0) > 0.5, draw_site(rng)
        for source, contrasts in TARGETS.items():
            image = torch.from_numpy(view.acquired(site[source], draw_acquisition(rng, axes=2)))[None, None]
            beta = one_channel(model.anatomy(model.beta_encoder(image)))
            for contrast in contrasts:
                theta = torch.tensor([checkpoint.references[contrast].theta])
                truth = view.clean(REFERENCE_PROTOCOLS[contrast])
                yield source, contrast, correlation(model.decode(beta, theta)[0, 0].numpy(), truth, brain)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", action="store_true", help="slices instead of whole volumes")
    parser.add_argument("labels", nargs="+", type=Path, metavar="LABEL_MAP")
    given = parser.parse_args()
    measure = by_slice if given.slices else by_volume
    checkpoint, builtin = load_checkpoint(resolve("builtin")), builtin_head(load_icbm2009a())
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for path in given.labels:
        head = head_from_labels(path, builtin, path.name)
        for source, target, value in measure(checkpoint, head, np.random.default_rng(SEED)):
            found[source, target].append(value)
    for (source, target), values in found.items():
        print(f"{source} -> {target}: {np.mean(values):.3f}", *(f"{value:.2f}" for value in values))


if __name__ == "__main__":
    main()
