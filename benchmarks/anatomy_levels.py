"""How well levels of anatomy can carry an image: ``anatomy_levels.py LABEL_MAP ...``.

Slices of the heads are rendered without noise under drawn protocols, and each level is replaced by its median
intensity: the best that a decoder can do that sees no neighbours. Prints the peak signal to noise ratio in the head
(dB) for the levels of ``training.levels`` and for five pure ones. Fixed seeds.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from haca3_bids.physics.anatomy import builtin_head
from haca3_bids.physics.protocols import draw_site
from haca3_bids.physics.signal import Protocol
from haca3_bids.physics.tissues import TISSUES
from haca3_bids.settings import CONTRASTS
from haca3_bids.training.heads import head_from_labels
from haca3_bids.training.levels import tissue_levels
from haca3_bids.training.simulated import SimulatedSlices, View
from haca3_bids.volumes.builtin import load_icbm2009a

SLICES, SEED = 64, 7
FIVE = {  # air and bone, fluid, grey, white, fatty
    "bone": 0, "vessel": 0, "csf": 1, "eye": 1, "grey": 2, "deep_grey": 2, "muscle": 2, "skin": 2, "dura": 2,
    "lesion": 2, "white": 3, "fat": 4, "marrow": 4,
}  # fmt: skip


def five_levels(shares: NDArray[np.float32]) -> NDArray[np.int64]:
    """The level with the largest share, (h, w); what is missing is air."""
    level_of = np.array([FIVE[name] for name in TISSUES])
    by_level = np.stack([shares[level == level_of].sum(axis=0) for level in range(5)])
    by_level[0] += np.clip(1 - shares.sum(axis=0), 0, 1)
    return by_level.argmax(axis=0)


def carried(image: NDArray[np.float32], levels: NDArray[np.int64], mask: NDArray[np.bool_]) -> float:
    """PSNR (dB) in the mask of the image whose levels are flat."""
    flat = np.zeros_like(image)
    for level in np.unique(levels[mask]):
        inside = (levels == level) & mask
        flat[inside] = np.median(image[inside])
    return float(-10 * np.log10(((flat - image)[mask] ** 2).mean()))


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
        image = view.clean(protocol)
        for name, levels in (("mixtures", tissue_levels), ("five", five_levels)):
            found[name, contrast].append(carried(image, levels(view.shares), view.mask))
    for (name, contrast), values in found.items():
        print(f"{name:>8} {contrast:>5}: {np.mean(values):.1f} dB")


if __name__ == "__main__":
    main()
