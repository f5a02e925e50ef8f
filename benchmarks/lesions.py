"""Lesions: how much of their contrast to the white matter around them is left in the harmonized image.

``python benchmarks/lesions.py --labels LABELS --cache HEADS --out lesions.jsonl [--every 8]`` gives every head lesions
as in multiple sclerosis, scans it at one site and harmonizes it to the next. It prints, for each contrast, (lesion -
white matter) / white matter in the scan, in the harmonized image and in the noise-free truth at the target's site.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from stage import Made, keep, kept, made, parser, stage

from haca3_bids.physics.anatomy import Anatomy
from haca3_bids.physics.lesions import draw_lesions, with_lesions
from haca3_bids.settings import CONTRASTS
from haca3_bids.volumes.slices import cut
from haca3_bids.volumes.volume import Volume

NEAR, FAR = 2, 6  # voxels from a lesion to the white matter that it is compared with
Mask = NDArray[np.bool_]


def regions(anatomy: Anatomy) -> tuple[Mask, Mask]:
    """The voxels that are mostly lesion, and those of white matter about them."""
    lesion = anatomy.share_of("lesion") > 0.5
    near, far = (ndimage.binary_dilation(lesion, iterations=reach) for reach in (NEAR, FAR))
    return lesion, far & ~near & (anatomy.share_of("white") > 0.9)


def contrast_in(image: NDArray[np.float32], lesion: Mask, white: Mask) -> float:
    """(lesion - white) / white, of means."""
    return float(image[lesion].mean() / image[white].mean() - 1)


def harmonized_contrast(image: Made, grid: Volume, lesion: Mask, white: Mask) -> float:
    """The same of a harmonized volume, or of the slices that were made of it."""
    if image.volume is not None:
        return contrast_in(image.volume, lesion, white)
    assert image.canvas is not None
    placed = [image.canvas.place_mask(grid.with_data(mask)) for mask in (lesion, white)]
    parts = [
        (found.ravel(), *(cut(mask, where)[image.indices[where]].ravel() for mask in placed))
        for where, found in image.slices.items()
    ]
    return contrast_in(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def main() -> None:
    on = stage(parser(__doc__).parse_args())
    done = {row["person"] for row in kept(on.out)}
    for number, person, other in on.people():
        if person.name in done:
            continue
        lesions = draw_lesions(person.anatomy, person.chance("lesions"))
        ill = replace(person, anatomy=with_lesions(person.anatomy, lesions))
        here, there = on.pair(number)
        where = regions(ill.anatomy)
        sources = {contrast: ill.scan(here[contrast], "source") for contrast in CONTRASTS}
        targets = [on.target(other, there[contrast]) for contrast in CONTRASTS]
        for contrast, image in zip(CONTRASTS, made(sources, targets, on), strict=True):
            truth = ill.truth(there[contrast])
            row = {
                "scan": contrast_in(sources[contrast].data, *where),
                "harmonized": harmonized_contrast(image, truth, *where),
                "truth": contrast_in(truth.data, *where),
            }
            keep(on.out, [{"person": person.name, "ml": float(where[0].sum() / 1000), "contrast": contrast} | row])
    print("| | contrast | lesions (ml) | scan | harmonized | truth at the target's site |\n|---|---|---|---|---|---|")
    for row in kept(on.out):
        values = " | ".join(f"{row[key]:+.2f}" for key in ("scan", "harmonized", "truth"))
        print(f"| {row['person']} | {row['contrast']} | {row['ml']:.1f} | {values} |")


if __name__ == "__main__":
    main()
