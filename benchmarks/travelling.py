"""Travelling subjects: each head is scanned at one site, harmonized to another, and compared with the truth there.

``python benchmarks/travelling.py --labels LABELS --cache HEADS --out travelling.jsonl`` harmonizes all contrasts of
every head to those of its target site, measured in a session of another person. For each contrast it prints PSNR in the
brain and in the head after scaling by the best factor, and SSIM: as scanned, matched to the histogram of the other
person, harmonized, and what can be known (the true anatomy with the true table of the other person). Then it prints
gains over people with p of Wilcoxon's test, and Dice coefficients of tissues before and after harmonization.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stage import Someone, Stage, head_of, keep, kept, parser, stage

from haca3_bids.evaluation.methods import paired, paired_p, person_means
from haca3_bids.evaluation.normalization import matched
from haca3_bids.evaluation.overlap import dice
from haca3_bids.evaluation.segmentation import CSF, GREY, WHITE, segmented
from haca3_bids.evaluation.similarity import SSIM_SETTINGS, compared, scaled_psnr_db
from haca3_bids.physics.anatomy import Anatomy
from haca3_bids.settings import CONTRASTS
from haca3_bids.volumes.volume import Volume

Rows = list[dict[str, Any]]
Array = NDArray[np.float32]

SCANNED, HISTOGRAM, HARMONIZED, BOUND = "as scanned", "histogram matching", "harmonized", "what can be known"
METHODS = (SCANNED, HISTOGRAM, HARMONIZED, BOUND)
PLACES = ("brain", "head")
CLASSES = {CSF: ("csf",), GREY: ("grey", "deep_grey"), WHITE: ("white", "lesion")}
SEGMENTED = ("T1w", "T2w")
WANTED_GAIN_DB = {"T1w": 4.5, "T2w": 2.8, "PDw": 6.0, "FLAIR": 1.0}  # in the brain
WANTED_SHARES = (0.65, 0.40)  # fractions of the distance to what can be known: mean over contrasts, and each contrast
WANTED_HEAD_DB = 3.0  # mean over contrasts


def measured(number: int, person: Someone, other: Someone, on: Stage) -> Rows:
    """Rows by contrast and method for a person between the sites of pair ``number``."""
    here, there = on.pair(number)
    sources = {contrast: person.scan(here[contrast], "source") for contrast in CONTRASTS}
    references = {contrast: other.scan(there[contrast], "reference") for contrast in CONTRASTS}
    asked = on.session_targets(other, there)
    targets = [asked[contrast] for contrast in CONTRASTS]
    rows: Rows = []
    for contrast, image in zip(CONTRASTS, on.harmonized(sources, targets), strict=True):
        original, reference = sources[contrast], references[contrast]
        images = {
            SCANNED: original.data,
            HISTOGRAM: matched(original.data, head_of(original), reference.data, head_of(reference)),
            HARMONIZED: image.image.data,
            BOUND: person.bound(there[contrast], other).data,
        }
        about = {"person": person.name, "contrast": contrast}
        rows += [about | row for row in against(person.truth(there[contrast]), person.anatomy.brain, images)]
        if contrast in SEGMENTED:
            rows += [about | row for row in _tissues(person.anatomy, contrast, original, image.image)]
    return rows


def against(truth: Volume, brain: NDArray[np.bool_], images: dict[str, Array]) -> Rows:
    """PSNR (dB) in brain and head after scaling by the best factor, and SSIM in the head, for each method."""
    head = head_of(truth)
    masks = dict(zip(PLACES, (brain & head, head), strict=True))
    return [
        {"method": method, "ssim": compared(image, truth.data, head).ssim}
        | {place: scaled_psnr_db(image, truth.data, mask, head) for place, mask in masks.items()}
        for method, image in images.items()
    ]


def _tissues(anatomy: Anatomy, contrast: str, original: Volume, harmonized: Volume) -> Rows:
    """Dice coefficients of tissues segmented from either image with the true ones, inside the brain."""
    right, rows = true_tissues(anatomy), []
    for method, image in ((SCANNED, original), (HARMONIZED, harmonized)):
        labels = segmented(image.data, anatomy.brain, contrast)
        rows.append({"method": method, "dice": {str(kind): dice(labels == kind, right == kind) for kind in CLASSES}})
    return rows


def true_tissues(anatomy: Anatomy) -> NDArray[np.uint8]:
    """A label map of the tissue with the largest fraction (CSF, GREY or WHITE); 0 outside the brain."""
    shares = np.stack([sum(anatomy.share_of(name) for name in names) for names in CLASSES.values()])
    largest = np.array(list(CLASSES), np.uint8)[shares.argmax(axis=0)]
    return np.where(anatomy.brain, largest, 0).astype(np.uint8)


def results(rows: Rows) -> Rows:
    """The rows with PSNR and SSIM."""
    return [row | {"participant_id": row["person"]} for row in rows if "dice" not in row]


def mean(found: Rows, contrast: str, method: str, measure: str) -> float:
    """The mean of a measure over people."""
    return float(np.mean(list(person_means(found, (contrast,), method, measure).values())))


def share(scanned: float, harmonized: float, bound: float) -> float:
    """The gain as a fraction of the distance from the scan to what can be known."""
    return (harmonized - scanned) / (bound - scanned)


def differences(found: Rows) -> NDArray[np.float64]:
    """Differences in PSNR (dB), harmonized minus scanned, for each person and contrast."""
    gains: list[float] = []
    for contrast in CONTRASTS:
        after, before = (person_means(found, (contrast,), method, "brain") for method in (HARMONIZED, SCANNED))
        gains += [after[person] - before[person] for person in before]
    return np.array(gains)


def table(rows: Rows) -> None:
    """Print all results."""
    people = {row["person"] for row in rows}
    print(f"\n{len(people)} people; PSNR in dB after one best scale factor; SSIM in the head: {SSIM_SETTINGS}")
    for place in PLACES:
        _similarity(results(rows), place)
    _gains(results(rows))
    _dice_table([row for row in rows if "dice" in row])


def _similarity(found: Rows, place: str) -> None:
    """Print PSNR of every method in brain or head, fractions of the distance and, for the brain, SSIM."""
    columns = (*METHODS, "gain", "share of the distance")
    print(f"\n| {place}, PSNR | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    psnr = {contrast: [mean(found, contrast, method, place) for method in METHODS] for contrast in CONTRASTS}
    for contrast, values in [*psnr.items(), ("mean", np.mean(list(psnr.values()), axis=0))]:
        _line(contrast, values, 1, _ends(values, "{:+.2f}"))
    if place == "head":
        print(f"Wanted in the head: {WANTED_HEAD_DB:+.1f} dB on the mean.")
        return
    shares = [share(v[0], v[2], v[3]) for v in psnr.values()]
    print(f"Mean of the contrasts' shares: {np.mean(shares):.0%}; the row above has the share of the mean distance.")
    gains = ", ".join(f"{contrast} {value:+.1f}" for contrast, value in WANTED_GAIN_DB.items())
    print(f"Wanted: {gains} dB; {WANTED_SHARES[0]:.0%} on the mean, {WANTED_SHARES[1]:.0%} in each.")
    print(f"\n| SSIM | {' | '.join(METHODS)} |\n|---|{'---|' * len(METHODS)}")
    for contrast in CONTRASTS:
        _line(contrast, [mean(found, contrast, method, "ssim") for method in METHODS], 3, [])


def _ends(values: Sequence[float], form: str) -> list[str]:
    scanned, _, harmonized, bound = values
    return [form.format(harmonized - scanned), f"{share(scanned, harmonized, bound):.0%}"]


def _line(name: str, values: Sequence[float], digits: int, ends: Sequence[str]) -> None:
    print(f"| {' | '.join([name, *(f'{value:.{digits}f}' for value in values), *ends])} |")


def _gains(found: Rows) -> None:
    print("\n| brain | harmonized against | PSNR (dB) | p | SSIM | p |\n|---|---|---|---|---|---|")
    for contrast in CONTRASTS:
        for baseline in (SCANNED, HISTOGRAM):
            cells = []
            for measure, digits in (("brain", 2), ("ssim", 3)):
                both = (person_means(found, (contrast,), method, measure) for method in (HARMONIZED, baseline))
                gain = paired(*both)
                cells += [f"{gain.mean - gain.mean_baseline:+.{digits}f}", f"{gain.p:.4f}"]
            print(f"| {contrast} | {baseline} | {' | '.join(cells)} |")
    gains = differences(found)
    better = int((gains > 0).sum())
    print(f"\nAll people and contrasts: {better} of {len(gains)} gain, Wilcoxon's p = {paired_p(gains):.2g}")


def _dice_table(rows: Rows) -> None:
    print("\n| segmented from | Dice CSF | grey | white |\n|---|---|---|---|")
    for contrast in SEGMENTED:
        for method in (SCANNED, HARMONIZED):
            mine = [r["dice"] for r in rows if (r["contrast"], r["method"]) == (contrast, method)]
            _line(f"{contrast} {method}", [float(np.mean([one[str(kind)] for one in mine])) for kind in CLASSES], 3, [])


def main() -> None:
    options = parser(__doc__)
    options.add_argument(
        "--pairs", type=int, default=1, help="pairs of sites for each person; statistics are over people"
    )
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
