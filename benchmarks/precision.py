"""The accuracy of bf16: validation PSNR of the built-in weights with the encoder in fp32 and in bf16.

``python benchmarks/precision.py --labels LABELS --cache HEADS --out precision.jsonl`` prints both, in the brain and in
the head (dB). bf16 is emulated on processors without such arithmetic, with the same rounding and much slower.
"""

from __future__ import annotations

import copy

import torch
from stage import keep, parser, stage
from torch import Tensor

from haca3_bids.harmonization.device import half_precision, inference
from haca3_bids.networks.mixture import Mixture
from haca3_bids.training.mixture_validation import MixtureValidation

CPU = torch.device("cpu")
NAMES = ("own_brain", "absent_brain", "own_head", "absent_head")
WITHIN_DB = 0.1


class Halved(Mixture):
    """The model with the encoder in bf16, as the engine applies it."""

    def encode(self, x: Tensor, theta: Tensor) -> Tensor:
        with half_precision(CPU, "bf16"):
            return super().encode(x, theta).float()


def main() -> None:
    on = stage(parser(__doc__).parse_args())
    model = on.checkpoint.model.eval()
    halved = copy.deepcopy(model)
    halved.__class__ = Halved
    with inference(on.settings.threads):
        validation = MixtureValidation(on.heads)
        found = {name: validation.scores(one) for name, one in (("fp32", model), ("bf16", halved))}
    keep(on.out, [{"precision": name, **{key: scores[key] for key in NAMES}} for name, scores in found.items()])
    for key in NAMES:
        change = found["bf16"][key] - found["fp32"][key]
        print(f"{key:13} fp32 {found['fp32'][key]:6.2f} dB, bf16 {found['bf16'][key]:6.2f} dB, change {change:+.3f}")
    print(f"Wanted: a change of at most {WITHIN_DB} dB.")


if __name__ == "__main__":
    main()
