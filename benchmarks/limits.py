"""Limits of the mixture model: validation on scans without bias, noise or thick slices, or without all of these.

``python benchmarks/limits.py --labels LABELS --cache HEADS --out limits.jsonl`` prints the mean PSNR (dB) over
contrasts in the brain of the validation slices, and the upper bound ("what can be known"). Ten minutes on one core.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from stage import keep, kept, parser, stage

from haca3_bids.physics.scanner import Imperfections
from haca3_bids.training.mixture_validation import Changed, MixtureValidation

CHANGES: Mapping[str, Changed] = {
    "ordinary": lambda how: how,
    "without bias": lambda how: replace(how, bias=0.0),
    "without noise": lambda how: replace(how, noise=0.0),
    "without thick slices": lambda how: replace(how, thickness_voxels=1.0, thick_axis=None),
    "without any": lambda how: Imperfections(how.seed),
}
SHOWN = {"own_brain": "scanned contrasts", "absent_brain": "absent contrasts", "bound_brain": "what can be known"}


def main() -> None:
    on = stage(parser(__doc__).parse_args())
    done = {row["scans"] for row in kept(on.out)}
    for name, changed in CHANGES.items():
        if name not in done:
            scores = MixtureValidation(on.heads, changed=changed).scores(on.checkpoint.model)
            keep(on.out, [{"scans": name} | {key: scores[key] for key in SHOWN}])
    print(f"\n| scans | {' | '.join(SHOWN.values())} |\n|---|{'---|' * len(SHOWN)}")
    for row in kept(on.out):
        print(f"| {row['scans']} | {' | '.join(f'{row[key]:.1f}' for key in SHOWN)} |")


if __name__ == "__main__":
    main()
