"""Simulated atrophy: is a small growth of the ventricles preserved in harmonized images?

``python benchmarks/atrophy.py --labels LABELS --cache HEADS --out atrophy.jsonl`` scans every head twice at one site,
with ventricles 1 % larger the second time, and harmonizes both sessions to the next site, with scans of another person
as target. It prints the growth measured by the boundary shift integral (Freeborough and Fox, IEEE TMI 16:623, 1997) in
the scans, in the harmonized images and in the noise-free truth at the target site, and the true growth.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from stage import Someone, Stage, kept, measure_everyone, parser, stage

from haca3_bids.physics.ageing import Ageing, aged
from haca3_bids.physics.anatomy import Anatomy
from haca3_bids.physics.scanner import Imperfections
from haca3_bids.physics.ventricles import ventricles
from haca3_bids.settings import CONTRASTS

GROWTH = 0.01  # of the ventricles' volume
TRIED_MM, YEARS = 0.1, 1.0  # trial displacement of the wall, from which the required one is extrapolated
REACH = 2  # voxels on either side of the ventricles' wall where growth is measured
WINDOW = (0.25, 0.75)  # range of intensities at the wall, from fluid (0) to white matter (1)
MEASURED = ("T1w", "T2w")  # fluid and white matter differ clearly
NOISE = 0.02
Mask = NDArray[np.bool_]
Array = NDArray[np.float32]


def grown(anatomy: Anatomy) -> Anatomy:
    """The head with ventricles enlarged by ``GROWTH``."""
    where = ndimage.binary_dilation(ventricles(anatomy), iterations=2 * REACH)
    pushed = aged(anatomy, Ageing(TRIED_MM, 0.0), YEARS)
    wanted = GROWTH * fluid_in(anatomy, ventricles(anatomy))
    step = TRIED_MM * wanted / max(fluid_in(pushed, where) - fluid_in(anatomy, where), 1e-9)
    return aged(anatomy, Ageing(step, 0.0), YEARS)


def fluid_in(anatomy: Anatomy, where: Mask) -> float:
    """The volume of fluid in a mask, mL."""
    return float(anatomy.share_of("csf")[where].sum() / 1000)


def growth_ml(before: Array, after: Array, inside: Mask, white: Mask) -> float:
    """The boundary shift integral (mL) over the wall of the ventricles ``inside``; ``white`` is pure white matter."""
    wall = ndimage.binary_dilation(inside, iterations=REACH) & ~ndimage.binary_erosion(inside, iterations=REACH)
    ends = []
    for image in (before, after):
        fluid = float(np.median(image[ndimage.binary_erosion(inside, iterations=REACH)]))
        ends.append((image[wall] - fluid) / (float(np.median(image[white])) - fluid))
    low, high = WINDOW
    first, second = (np.clip(one, low, high) for one in ends)
    return float((first - second).sum() / (high - low) / 1000)


def measured(number: int, person: Someone, other: Someone, on: Stage) -> list[dict[str, Any]]:
    """One row for each contrast in MEASURED, harmonized from all four contrasts."""
    later = replace(person, anatomy=grown(person.anatomy))
    inside = ventricles(person.anatomy)
    white = person.anatomy.share_of("white") > 0.95
    planted = fluid_in(later.anatomy, person.anatomy.brain) - fluid_in(person.anatomy, person.anatomy.brain)
    here, there = on.pair(number)
    asked = on.session_targets(other, there)
    scans, images = [], []
    for visit, who in enumerate((person, later)):
        how = Imperfections(seed=visit, noise=NOISE)
        scans.append({contrast: who.scan(here[contrast], f"visit {visit}", how) for contrast in CONTRASTS})
        images.append(on.harmonized(scans[-1], [asked[contrast] for contrast in MEASURED]))
    rows = []
    for place, contrast in enumerate(MEASURED):
        truth = [who.truth(there[contrast]).data for who in (person, later)]
        found = {
            "scan": growth_ml(scans[0][contrast].data, scans[1][contrast].data, inside, white),
            "harmonized": growth_ml(images[0][place].image.data, images[1][place].image.data, inside, white),
            "truth": growth_ml(truth[0], truth[1], inside, white),
        }
        about = {"person": person.name, "ml": fluid_in(person.anatomy, inside), "contrast": contrast}
        rows.append(about | {"planted": planted} | found)
    return rows


def table(rows: list[dict[str, Any]]) -> None:
    """Print the measured growth of each person, and the mean fraction of the true growth."""
    print("\n| | contrast | ventricles (ml) | planted (ml) | scans | harmonized | truth at the target's site |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        values = " | ".join(f"{row[key]:+.3f}" for key in ("planted", "scan", "harmonized", "truth"))
        print(f"| {row['person']} | {row['contrast']} | {row['ml']:.1f} | {values} |")
    for contrast in MEASURED:
        mine = [row for row in rows if row["contrast"] == contrast]
        shares = [f"{key} {np.mean([row[key] / row['planted'] for row in mine]):.0%}" for key in ("scan", "harmonized")]
        print(f"{contrast}: share of the planted growth that is found: {', '.join(shares)}")


def main() -> None:
    on = stage(parser(__doc__).parse_args())
    measure_everyone(on, measured)
    table(kept(on.out))


if __name__ == "__main__":
    main()
