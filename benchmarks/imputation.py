"""Imputation: every contrast of the target site from each of the 15 subsets of source contrasts.

``python benchmarks/imputation.py --labels LABELS --cache HEADS --out imputation.jsonl [--every 8]`` prints PSNR and
SSIM against the noise-free truth, means over people.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from stage import head_of, keep, kept, made, parser, stage

from haca3_bids.settings import CONTRASTS

SUBSETS = [names for size in range(1, 5) for names in combinations(CONTRASTS, size)]


def main() -> None:
    on = stage(parser(__doc__).parse_args())
    done = {(row["person"], row["sources"]) for row in kept(on.out)}
    for number, person, other in on.people():
        missing = [names for names in SUBSETS if (person.name, "+".join(names)) not in done]
        if not missing:
            continue
        here, there = on.pair(number)
        scans = {contrast: person.scan(here[contrast], "source") for contrast in CONTRASTS}
        targets = [on.target(other, there[contrast]) for contrast in CONTRASTS]
        truths = [person.truth(there[contrast]) for contrast in CONTRASTS]
        masks = [head_of(truth) for truth in truths]
        for names in missing:
            images = made({name: scans[name] for name in names}, targets, on)
            found = [
                image.against(*right) for image, right in zip(images, zip(truths, masks, strict=True), strict=True)
            ]
            rows = [{"contrast": c} | vars(f) for c, f in zip(CONTRASTS, found, strict=True)]
            keep(on.out, [{"person": person.name, "sources": "+".join(names)} | row for row in rows])
            print(person.name, "+".join(names), *(f"{f.psnr_db:.1f}" for f in found), flush=True)
    rows = kept(on.out)
    print(f"\nPSNR (dB) / SSIM, mean over {len({row['person'] for row in rows})} people\n")
    print(f"| sources | {' | '.join(f'to {c}' for c in CONTRASTS)} |\n|---|{'---|' * len(CONTRASTS)}")
    for names in ("+".join(subset) for subset in SUBSETS):
        cells = []
        for contrast in CONTRASTS:
            mine = [(r["psnr_db"], r["ssim"]) for r in rows if (r["sources"], r["contrast"]) == (names, contrast)]
            cells.append("{:.1f} / {:.3f}".format(*np.mean(mine, axis=0)))
        print(f"| {names} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
