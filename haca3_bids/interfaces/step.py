"""The base of all preprocessing nodes: their settings, and ``facts``, their part of the record."""

from __future__ import annotations

import contextlib
import json
import re
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from nipype.interfaces.base import BaseInterfaceInputSpec, SimpleInterface, TraitedSpec, traits

from haca3_bids.settings import PreprocessingSettings


class StepInputSpec(BaseInterfaceInputSpec):  # type: ignore[misc]
    """What every step needs."""

    contrast = traits.Str("", usedefault=True, desc="contrast of the scan; empty for a step of the whole session")
    template = traits.Str("MNI152NLin2009cSym", usedefault=True, desc="name of the template")
    sloppy = traits.Bool(False, usedefault=True, desc="coarse and fast")
    force = traits.List(traits.Str(), usedefault=True, desc="what may be poor")
    seed = traits.Int(0, usedefault=True, desc="seed of ITK's samplers")


class StepOutputSpec(TraitedSpec):  # type: ignore[misc]
    """What every step says."""

    facts = traits.Str(desc="a piece of the record, as JSON")


class Step(SimpleInterface, ABC):  # type: ignore[misc]
    """A node whose work is ``_work``, which returns the facts it found; seconds are added to them."""

    input_spec = StepInputSpec
    output_spec = StepOutputSpec
    name_in_record = ""

    def _run_interface(self, runtime: Any) -> Any:
        begun = time.perf_counter()
        forget_peak_memory()
        facts = self._work(Path(runtime.cwd))
        costs = {"seconds": {self.name_in_record: round(time.perf_counter() - begun, 2)}}
        if (memory := peak_memory_mb()) is not None:
            costs["memory_mb"] = {self.name_in_record: memory}
        self._results["facts"] = json.dumps({"contrast": self.inputs.contrast, **costs, **facts})
        return runtime

    @abstractmethod
    def _work(self, folder: Path) -> dict[str, Any]:
        """The step itself, with ``folder`` to write to; returns facts."""

    @property
    def _settings(self) -> PreprocessingSettings:
        inputs = self.inputs
        return PreprocessingSettings(inputs.template, inputs.sloppy, tuple(inputs.force), inputs.seed)

    def _out(self, key: str, path: Path) -> Path:
        self._results[key] = str(path)
        return path


def forget_peak_memory() -> None:
    """Let the kernel measure this process's peak anew (Linux); workers live longer than one step."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mb() -> float | None:
    """The most memory this process has held since its peak was forgotten; None where the kernel does not say."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        return None
    return round(int(found[1]) * 1024 / 1e6) if found else None
