"""The weights and the device of a run, asked of a process of their own so that PyTorch stays out of this one."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haca3_bids import errors
from haca3_bids.checkpoints.registry import MEDIAN, fusion_for, resolve
from haca3_bids.errors import Haca3Error, UsageError
from haca3_bids.execution.environment import child_environment
from haca3_bids.settings import HarmonizationSettings

PROBE = "haca3_bids.harmonization.probe"


@dataclass(frozen=True)
class Weights:
    """Weights that can be used, and the device they will run on."""

    name: str
    path: str
    sha256: str
    variant: str
    fusion: str  # file, or "median"
    fusion_sha256: str
    references: Mapping[str, Mapping[str, Any]]  # built-in targets by contrast
    device: str

    def described(self) -> dict[str, str]:
        """What the dataset's description keeps of them."""
        return {
            "name": self.name,
            "sha256": self.sha256,
            "variant": self.variant,
            "fusion_name": MEDIAN if self.fusion == MEDIAN else Path(self.fusion).stem,
            "fusion_sha256": self.fusion_sha256,
        }

    @property
    def digest(self) -> str:
        """One text that differs for other weights."""
        return f"{self.sha256}-{self.fusion_sha256}-{self.variant}"


def find_weights(settings: HarmonizationSettings) -> Weights:
    """The weights and the device of the settings; Unavailable (69) when one of them is not to be had."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", settings.device):
        raise UsageError(f"There is no device '{settings.device}'.", "The devices are auto, cpu, cuda and cuda:N.")
    path = str(resolve(settings.weights))
    fusion = fusion_for(settings.weights, settings.fusion_weights)
    if fusion != MEDIAN:
        fusion = str(resolve(fusion, "fusion"))
    asked = {"weights": path, "fusion": fusion, "variant": settings.variant, "device": settings.device}
    answer = _ask(asked)
    return Weights(path=path, fusion=fusion, **answer)


def with_weights(settings: HarmonizationSettings, weights: Weights) -> HarmonizationSettings:
    """The settings with names replaced by the files they stand for, and the variant by the one in force."""
    return dataclasses.replace(
        settings,
        weights=str(Path(weights.path).resolve()),
        fusion_weights=weights.fusion if weights.fusion == MEDIAN else str(Path(weights.fusion).resolve()),
        variant=weights.variant,
    )


def _ask(asked: Mapping[str, str | None]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", PROBE, json.dumps(asked)],
        capture_output=True,
        text=True,
        check=False,
        env=child_environment(),
        stdin=subprocess.DEVNULL,
    )
    try:
        answer = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        last = done.stderr.strip().splitlines()[-1:] or [f"code {done.returncode}"]
        raise errors.Unavailable(f"The process that reads the weights failed: {last[0]}.") from None
    if "error" in answer:
        kind: type[Haca3Error] = getattr(errors, answer["error"]["class"])
        raise kind(answer["error"]["sentence"], answer["error"]["hint"])
    return dict(answer)
