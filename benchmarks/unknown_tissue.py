"""What a target's protocol cannot tell of a person: ``unknown_tissue.py LABEL_MAP ...``.

Every person's tissues have T1, T2 and proton density of their own, and so has every place in a tissue. A network that
takes the target's contrast from somebody else's scan can know the protocol and, from the sources, the anatomy. Slices
are rendered as they are and with less known of the person, without noise under drawn protocols; the peak signal to
noise ratio in the brain (dB), after one best scale factor, is what such a network could reach if it made no error at
all. "Another person, no texture" is what ``travelling.py`` calls what can be known. No network is needed.
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
from haca3_bids.physics.tissues import BRAIN, TISSUES, person_deviations
from haca3_bids.settings import CONTRASTS
from haca3_bids.training.heads import head_from_labels
from haca3_bids.training.simulated import SimulatedSlices, View
from haca3_bids.volumes.builtin import load_icbm2009a

SLICES, SEED = 64, 7
BRAIN_ROWS = [TISSUES.index(name) for name in BRAIN]


def drawn(paths: list[str], slices: int) -> Iterator[tuple[View, str, Protocol, View]]:
    """Slices of the heads in turn, a contrast and a protocol of it, and the slice with another person's tissues."""
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
        brain = view.shares[BRAIN_ROWS].sum(axis=0) > 0.5
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
