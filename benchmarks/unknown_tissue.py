"""What a target's protocol cannot tell of a person: ``unknown_tissue.py LABEL_MAP ...``.

Every person's tissues have T1, T2 and proton density of their own, and so has every place in a tissue. A network that
takes the target's contrast from somebody else's scan can know the protocol and, from the sources, the anatomy. Slices
are rendered as they are and with the population's mean tissues, without noise under drawn protocols; the peak signal
to noise ratio in the head (dB) between the two is what such a network could reach if it made no error at all.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from haca3_bids.physics.anatomy import builtin_head
from haca3_bids.physics.protocols import draw_site
from haca3_bids.physics.signal import Protocol
from haca3_bids.settings import CONTRASTS
from haca3_bids.training.heads import head_from_labels
from haca3_bids.training.simulated import SimulatedSlices, View
from haca3_bids.volumes.builtin import load_icbm2009a

SLICES, SEED = 64, 7


def drawn(paths: list[str]) -> Iterator[tuple[View, str, Protocol]]:
    """Slices of the heads in turn, each with a contrast and a protocol of it."""
    builtin = builtin_head(load_icbm2009a())
    data = SimulatedSlices([head_from_labels(Path(path), builtin, path) for path in paths])
    rng = np.random.default_rng(SEED)
    for index in range(SLICES):
        view, contrast = data.view(index % len(data.heads), rng), CONTRASTS[index // len(data.heads) % len(CONTRASTS)]
        yield view, contrast, draw_site(rng)[contrast]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labels", nargs="+", metavar="LABEL_MAP")
    given = parser.parse_args()
    found = defaultdict(list)
    for view, contrast, protocol in drawn(given.labels):
        plain = np.zeros_like(view.local), np.zeros_like(view.deviations)
        variants = {
            "mean of everybody": replace(view, local=plain[0], deviations=plain[1]),
            "texture known": replace(view, deviations=plain[1]),
            "person known": replace(view, local=plain[0]),
        }
        image = view.clean(protocol)
        for name, other in variants.items():
            error = ((other.clean(protocol) - image)[view.mask] ** 2).mean()
            found[name, contrast].append(float(-10 * np.log10(error)))
    for (name, contrast), values in found.items():
        print(f"{name:>18} {contrast:>5}: {np.mean(values):.1f} dB")


if __name__ == "__main__":
    main()
