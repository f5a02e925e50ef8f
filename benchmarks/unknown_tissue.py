"""Upper bounds of PSNR due to unknown tissue properties: ``unknown_tissue.py LABEL_MAP ...``.

T1, T2 and proton density vary between people, and within a tissue. A network whose target is another person's scan can
only know the protocol and, from the sources, the anatomy. Slices are rendered without noise under random protocols,
with the true and with partly unknown tissue properties. The PSNR (dB) in the brain between these, after scaling by the
best factor, is the upper bound for such a network. "Another person, no texture" is "what can be known" in
``travelling.py``. No network is needed.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from haca3_bids.evaluation.similarity import scaled_psnr_db
from haca3_bids.physics.anatomy import builtin_head
from haca3_bids.physics.protocols import draw_site
from haca3_bids.physics.signal import Protocol
from haca3_bids.physics.tissues import IN_BRAIN, person_deviations
from haca3_bids.settings import CONTRASTS
from haca3_bids.training.heads import head_from_labels
from haca3_bids.training.simulated import SimulatedSlices, View
from haca3_bids.volumes.builtin import load_icbm2009a

SLICES, SEED = 64, 7


def drawn(paths: list[str], slices: int) -> Iterator[tuple[View, str, Protocol, View]]:
    """Slices of alternating heads, a contrast and its protocol, and the slice with another person's tissues."""
    builtin = builtin_head(load_icbm2009a())
    data = SimulatedSlices([head_from_labels(Path(path), builtin, path) for path in paths])
    rng = np.random.default_rng(SEED)
    for index in range(slices):
        view, contrast = data.view(index % len(data.heads), rng), CONTRASTS[index // len(data.heads) % len(CONTRASTS)]
        protocol = draw_site(rng)[contrast]
        yield view, contrast, protocol, replace(view, deviations=person_deviations(rng))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labels", nargs="+", metavar="LABEL_MAP")
    parser.add_argument("--slices", type=int, default=SLICES)
    given = parser.parse_args()
    found = defaultdict(list)
    for view, contrast, protocol, another in drawn(given.labels, given.slices):
        brain = view.shares[IN_BRAIN].sum(axis=0) > 0.5
        if not brain.any():
            continue
        no_texture, average = np.zeros_like(view.local), np.zeros_like(view.deviations)
        variants = {
            "this person, no texture": replace(view, local=no_texture),
            "average person, texture": replace(view, deviations=average),
            "average person, no texture": replace(view, local=no_texture, deviations=average),
            "another person, no texture": replace(another, local=no_texture),
        }
        truth = view.clean(protocol)
        for name, other in variants.items():
            found[name, contrast].append(scaled_psnr_db(other.clean(protocol), truth, brain, view.mask))
    for (name, contrast), values in found.items():
        print(f"{name:>26} {contrast:>5}: {np.mean(values):.1f} dB ({len(values)} slices)")


if __name__ == "__main__":
    main()
