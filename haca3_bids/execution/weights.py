"""The weights and the device of a run, determined in a separate process so that this one never imports PyTorch."""

import dataclasses
import subprocess
import sys
from pathlib import Path

from haca3_bids.checkpoints.registry import MEDIAN, fusion_for, resolve
from haca3_bids.errors import Unavailable
from haca3_bids.execution.environment import child_environment
from haca3_bids.parse import check_device
from haca3_bids.records.engine import ProbeJob, Weights
from haca3_bids.records.files import from_answer, to_json
from haca3_bids.settings import HarmonizationSettings

PROBE = "haca3_bids.harmonization.probe"


def find_weights(settings: HarmonizationSettings) -> Weights:
    """The weights and the device of the settings; Unavailable (69) if there is no such file or GPU."""
    check_device(settings.device)
    path = str(resolve(settings.weights))
    fusion = fusion_for(settings.weights, settings.fusion_weights)
    if fusion != MEDIAN:
        fusion = str(resolve(fusion, "fusion"))
    return _answer(ProbeJob(path, fusion, settings.variant, settings.device))


def with_weights(settings: HarmonizationSettings, weights: Weights) -> HarmonizationSettings:
    """The settings with weights given as files, and the variant of these weights."""
    return dataclasses.replace(
        settings,
        weights=str(Path(weights.path).resolve()),
        fusion_weights=weights.fusion if weights.fusion == MEDIAN else str(Path(weights.fusion).resolve()),
        variant=weights.variant,
    )


def _answer(job: ProbeJob) -> Weights:
    done = subprocess.run(
        [sys.executable, "-m", PROBE, to_json(job)],
        capture_output=True,
        text=True,
        check=False,
        env=child_environment(),
        stdin=subprocess.DEVNULL,
    )
    try:
        return from_answer(done.stdout.strip().splitlines()[-1], Weights)
    except (ValueError, IndexError):
        last = done.stderr.strip().splitlines()[-1:] or [f"code {done.returncode}"]
        raise Unavailable(f"The process that reads the weights failed: {last[0]}.") from None
