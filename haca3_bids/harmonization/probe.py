"""``python -m haca3_bids.harmonization.probe``: check in advance whether weights and device are available.

Prints one JSON object: the weights and the device as in ``records.engine.Weights``, or the error.
"""

import sys
from pathlib import Path

from haca3_bids.checkpoints.formats import load_checkpoint, load_fusion
from haca3_bids.checkpoints.registry import MEDIAN
from haca3_bids.digest import file_sha256
from haca3_bids.errors import Haca3Error
from haca3_bids.harmonization.device import choose_device
from haca3_bids.records.engine import ProbeJob, Weights
from haca3_bids.records.files import Refusal, from_json, to_json
from haca3_bids.records.target import Target, builtin_origin


def probe(job: ProbeJob) -> Weights:
    """The weights and the device that would be used; Unavailable if either is missing."""
    found = str(choose_device(job.device))
    checkpoint = load_checkpoint(job.weights, job.variant)
    fusion_sha = "" if job.fusion == MEDIAN else file_sha256(Path(job.fusion))
    if job.fusion != MEDIAN:
        load_fusion(job.fusion)
    name = checkpoint.name
    references = {
        contrast: Target("", contrast, one.theta, one.eta, one.scale, builtin_origin(name))
        for contrast, one in checkpoint.references.items()
    }
    return Weights(name, job.weights, checkpoint.sha256, checkpoint.variant, job.fusion, fusion_sha, references, found)


def main(arguments: list[str]) -> int:
    """Run the job (``ProbeJob``) given as JSON in the first argument."""
    answer: object
    try:
        answer = probe(from_json(arguments[0], ProbeJob))
    except Haca3Error as error:
        answer = Refusal(error.failure())
    sys.stdout.write(to_json(answer) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
