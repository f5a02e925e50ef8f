"""``python -m haca3_bids.harmonization.probe``: whether weights and device are to be had, before anything is started.

Prints one JSON object: the weights' name, SHA-256, variant and references, and the device, or the error.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from haca3_bids.checkpoints.formats import load_checkpoint, load_fusion
from haca3_bids.checkpoints.registry import MEDIAN
from haca3_bids.digest import file_sha256
from haca3_bids.errors import Haca3Error
from haca3_bids.harmonization.device import choose_device


def probe(weights: str, fusion: str, variant: str | None, device: str) -> dict[str, Any]:
    """What the weights say of themselves, and the device that would be used; Unavailable when either is missing."""
    found = str(choose_device(device))
    checkpoint = load_checkpoint(weights, variant)
    fusion_sha = "" if fusion == MEDIAN else file_sha256(Path(fusion))
    if fusion != MEDIAN:
        load_fusion(fusion)
    return {
        "name": checkpoint.name,
        "sha256": checkpoint.sha256,
        "variant": checkpoint.variant,
        "references": {key: asdict(one) for key, one in checkpoint.references.items()},
        "fusion_sha256": fusion_sha,
        "device": found,
    }


def main(arguments: list[str]) -> int:
    """Probe what the JSON in the first argument asks for."""
    try:
        answer = probe(**json.loads(arguments[0]))
    except Haca3Error as error:
        answer = {"error": {"class": type(error).__name__, "sentence": error.sentence, "hint": error.hint}}
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
