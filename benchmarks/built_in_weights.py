"""How well the built-in weights change the contrast of slices of given heads: ``built_in_weights.py LABEL_MAP ...``.

Prints, for each pair of contrasts, the correlation inside the brain between the harmonized slice and the true,
noise-free one under the protocol of the built-in reference. A fixed seed draws people, protocols and noise.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from haca3_bids.checkpoints.formats import load_checkpoint
from haca3_bids.checkpoints.registry import resolve
from haca3_bids.networks.haca3 import argmax_beta, one_channel
from haca3_bids.physics.anatomy import builtin_head
from haca3_bids.physics.protocols import REFERENCE_PROTOCOLS, draw_site
from haca3_bids.physics.scanner import draw_acquisition
from haca3_bids.physics.tissues import BRAIN, TISSUES, person_deviations
from haca3_bids.training.heads import head_from_labels
from haca3_bids.training.simulated import ORIENTATIONS, SimulatedSlices, cut_shares
from haca3_bids.volumes.builtin import load_icbm2009a

PAIRS = (("T1w", "T2w"), ("T2w", "T1w"), ("T1w", "FLAIR"), ("T1w", "PDw"))
SLICES = (100, 125)  # of the canvas, in each orientation
SEED = 4


@torch.inference_mode()
def main(paths: list[str]) -> None:
    checkpoint = load_checkpoint(resolve("builtin"))
    builtin = builtin_head(load_icbm2009a())
    heads = [head_from_labels(Path(path), builtin, Path(path).name) for path in paths]
    data, rng = SimulatedSlices(heads), np.random.default_rng(SEED)
    rows = [TISSUES.index(name) for name in BRAIN]
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for person, head in enumerate(heads):
        for orientation in ORIENTATIONS:
            for index in SLICES:
                shares = cut_shares(head, orientation, index)
                view = data.view_of(person, shares, person_deviations(rng), rng)
                brain, site = shares[rows].sum(axis=0) > 0.5, draw_site(rng)
                for source, target in PAIRS:
                    image = torch.from_numpy(view.acquired(site[source], draw_acquisition(rng, axes=2)))[None, None]
                    theta = torch.tensor([checkpoint.references[target].theta])
                    beta = one_channel(argmax_beta(checkpoint.model.beta_encoder(image)))
                    harmonized = checkpoint.model.decode(beta, theta)[0, 0].numpy()
                    truth = view.clean(REFERENCE_PROTOCOLS[target])
                    found[source, target].append(float(np.corrcoef(harmonized[brain], truth[brain])[0, 1]))
    for (source, target), values in found.items():
        print(f"{source} -> {target}: {np.mean(values):.3f}", *(f"{value:.2f}" for value in values))


if __name__ == "__main__":
    main(sys.argv[1:])
