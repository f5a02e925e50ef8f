"""Lesions: preservation of their contrast to the surrounding white matter in the harmonized image.

``python benchmarks/lesions.py --labels LABELS --cache HEADS --out lesions.jsonl`` gives every head lesions as in
multiple sclerosis, scans it at one site and harmonizes it to the next, with scans of a healthy person as target.
It prints (lesion - white matter) / white matter in the scan, in the harmonized image and in the noise-free truth at the
target site, and the ratio of the contrast in the harmonized image to that in the truth.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from stage import Someone, Stage, kept, measure_everyone, parser, stage

from haca3_bids.physics.anatomy import Anatomy
from haca3_bids.physics.lesions import draw_lesions, with_lesions
from haca3_bids.settings import CONTRASTS

NEAR, FAR = 2, 6  # distance in voxels from a lesion to the white matter compared with it
LOOKED_AT, WANTED = ("T2w", "FLAIR"), 0.85  # contrasts in which lesions are read; wanted ratio
Mask = NDArray[np.bool_]


def regions(anatomy: Anatomy) -> tuple[Mask, Mask]:
    """Masks of voxels that are mostly lesion, and of the surrounding white matter."""
    lesion = anatomy.share_of("lesion") > 0.5
    near, far = (ndimage.binary_dilation(lesion, iterations=reach) for reach in (NEAR, FAR))
    return lesion, far & ~near & (anatomy.share_of("white") > 0.9)


def contrast_in(image: NDArray[np.float32], lesion: Mask, white: Mask) -> float:
    """(lesion - white) / white, of means."""
    return float(image[lesion].mean() / image[white].mean() - 1)


def measured(number: int, person: Someone, other: Someone, on: Stage) -> list[dict[str, Any]]:
    """One row for each contrast in LOOKED_AT, harmonized from all four contrasts."""
    lesions = draw_lesions(person.anatomy, person.chance("lesions"))
    ill = replace(person, anatomy=with_lesions(person.anatomy, lesions))
    here, there = on.pair(number)
    where = regions(ill.anatomy)
    sources = {contrast: ill.scan(here[contrast], "source") for contrast in CONTRASTS}
    asked = on.session_targets(other, there)
    targets = [asked[contrast] for contrast in LOOKED_AT]
    rows = []
    for contrast, image in zip(LOOKED_AT, on.harmonized(sources, targets), strict=True):
        found = {
            "scan": contrast_in(sources[contrast].data, *where),
            "harmonized": contrast_in(image.image.data, *where),
            "truth": contrast_in(ill.truth(there[contrast]).data, *where),
        }
        rows.append({"person": person.name, "ml": float(where[0].sum() / 1000), "contrast": contrast} | found)
    return rows


def table(rows: list[dict[str, Any]]) -> None:
    """Print the contrasts of each person, and the mean ratio."""
    print("\n| | contrast | lesions (ml) | scan | harmonized | truth at the target's site | kept |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        values = " | ".join(f"{row[key]:+.2f}" for key in ("scan", "harmonized", "truth"))
        print(f"| {row['person']} | {row['contrast']} | {row['ml']:.1f} | {values} | {_kept(row):.0%} |")
    for contrast in LOOKED_AT:
        shares = [_kept(row) for row in rows if row["contrast"] == contrast]
        print(f"{contrast}: {np.mean(shares):.0%} on the mean, {min(shares):.0%} at least (wanted: {WANTED:.0%})")


def _kept(row: dict[str, Any]) -> float:
    share: float = row["harmonized"] / row["truth"]
    return share


def main() -> None:
    on = stage(parser(__doc__).parse_args())
    measure_everyone(on, measured)
    table(kept(on.out))


if __name__ == "__main__":
    main()
