"""Travelling subjects: each head scanned at one site and harmonized to another, against the truth there.

``python benchmarks/travelling.py --labels LABELS --cache HEADS --out travelling.jsonl`` harmonizes all contrasts of
every head to those of its target site, which a scan of another person sets, and prints one table a contrast:
unharmonized, histogram matching with the same reference, harmonized; gains over people with Wilcoxon's p; and Dice of
tissues segmented from the original and from the harmonized image.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from stage import Someone, Stage, head_of, keep, kept, made, parser, stage

from haca3_bids.evaluation.histogram import matched
from haca3_bids.evaluation.overlap import dice
from haca3_bids.evaluation.segmentation import CSF, GREY, WHITE, segmented
from haca3_bids.evaluation.similarity import SSIM_SETTINGS, Similarity, compared
from haca3_bids.evaluation.travelling import Result, by_person, gain
from haca3_bids.physics.anatomy import Anatomy
from haca3_bids.settings import CONTRASTS
from haca3_bids.volumes.volume import Volume

METHODS = ("unharmonized", "histogram", "harmonized")
CLASSES = {CSF: ("csf",), GREY: ("grey", "deep_grey"), WHITE: ("white", "lesion")}
SEGMENTED = ("T1w", "T2w")


def measured(number: int, person: Someone, other: Someone, on: Stage) -> list[dict[str, Any]]:
    """One row a contrast and method for a person between the sites of pair ``number``."""
    here, there = on.pair(number)
    sources = {contrast: person.scan(here[contrast], "source") for contrast in CONTRASTS}
    targets = [on.target(other, there[contrast]) for contrast in CONTRASTS]
    rows = []
    for contrast, image in zip(CONTRASTS, made(sources, targets, on), strict=True):
        truth = person.truth(there[contrast])
        mask, original = head_of(truth), sources[contrast]
        reference = other.scan(there[contrast], "reference")
        simple = matched(original.data, head_of(original), reference.data, head_of(reference))
        found = {
            "unharmonized": compared(original.data, truth.data, mask),
            "histogram": compared(simple, truth.data, mask),
            "harmonized": image.against(truth, mask),
        }
        rows += [{"person": person.name, "contrast": contrast, "method": m} | vars(s) for m, s in found.items()]
        if image.volume is not None and contrast in SEGMENTED:
            rows += _tissues(person, contrast, original, truth.with_data(image.volume))
    return rows


def _tissues(person: Someone, contrast: str, original: Volume, harmonized: Volume) -> list[dict[str, Any]]:
    """Dice of the tissues segmented from either image with the true ones, inside the brain."""
    brain, right = person.anatomy.brain, true_tissues(person.anatomy)
    rows = []
    for method, image in (("unharmonized", original), ("harmonized", harmonized)):
        labels = segmented(image.data, brain, contrast)
        agreement = {str(kind): dice(labels == kind, right == kind) for kind in CLASSES}
        rows.append({"person": person.name, "contrast": contrast, "method": method, "dice": agreement})
    return rows


def true_tissues(anatomy: Anatomy) -> NDArray[np.uint8]:
    """CSF, GREY and WHITE, whichever has the largest share; 0 outside the brain."""
    shares = np.stack([sum(anatomy.share_of(name) for name in names) for names in CLASSES.values()])
    largest = np.array(list(CLASSES), np.uint8)[shares.argmax(axis=0)]
    return np.where(anatomy.brain, largest, 0).astype(np.uint8)


def table(rows: list[dict[str, Any]]) -> None:
    """Print what was found."""
    alike = [r for r in rows if "dice" not in r]
    results = [Result(r["person"], r["contrast"], r["method"], Similarity(r["psnr_db"], r["ssim"])) for r in alike]
    print(f"SSIM: {SSIM_SETTINGS}\n\n| contrast | method | PSNR (dB) | SSIM | people |\n|---|---|---|---|---|")
    for contrast in CONTRASTS:
        for method in METHODS:
            people = by_person(results, contrast, method).values()
            psnr, ssim = (np.array([getattr(p, key) for p in people]) for key in ("psnr_db", "ssim"))
            print(f"| {contrast} | {method} | {_spread(psnr, 1)} | {_spread(ssim, 3)} | {len(psnr)} |")
    print("\n| contrast | harmonized against | PSNR (dB) | p | SSIM | p |\n|---|---|---|---|---|---|")
    for contrast in CONTRASTS:
        for baseline in METHODS[:2]:
            g = gain(results, contrast, "harmonized", baseline)
            print(f"| {contrast} | {baseline} | {g.psnr_db:+.2f} | {g.p_psnr:.4f} | {g.ssim:+.3f} | {g.p_ssim:.4f} |")
    _dice_table([r for r in rows if "dice" in r])


def _dice_table(rows: list[dict[str, Any]]) -> None:
    if rows:
        print("\n| segmented from | Dice CSF | grey | white |\n|---|---|---|---|")
    for contrast in SEGMENTED:
        for method in ("unharmonized", "harmonized"):
            mine = [r["dice"] for r in rows if (r["contrast"], r["method"]) == (contrast, method)]
            if mine:
                means = (f"{np.mean([one[str(kind)] for one in mine]):.3f}" for kind in CLASSES)
                print(f"| {method} {contrast} | {' | '.join(means)} |")


def _spread(values: NDArray[np.float64], digits: int) -> str:
    return f"{values.mean():.{digits}f} ± {values.std(ddof=1) if len(values) > 1 else 0:.{digits}f}"


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--pairs", type=int, default=1, help="of sites for each person, who is the unit all the same")
    given = options.parse_args()
    on = stage(given)
    done = {(row["person"], row["pair"]) for row in kept(on.out)}
    for number, person, other in on.people():
        for pair in range(number, number + given.pairs):
            if (person.name, pair) not in done:
                keep(on.out, [row | {"pair": pair} for row in measured(pair, person, other, on)])
                print(f"{person.name}, pair {pair}, is measured", flush=True)
    table(kept(on.out))


if __name__ == "__main__":
    main()
