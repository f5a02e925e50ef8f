"""What every node of the preprocessing shares: its settings, and ``facts``, its piece of the record."""

from __future__ import annotations

import json
import time
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


class Step(SimpleInterface):  # type: ignore[misc]
    """A node whose work is ``_work``, which returns the facts it found; seconds are added to them."""

    input_spec = StepInputSpec
    output_spec = StepOutputSpec
    name_in_record = ""

    def _run_interface(self, runtime: Any) -> Any:
        begun = time.perf_counter()
        facts = self._work(Path(runtime.cwd))
        seconds = {self.name_in_record: round(time.perf_counter() - begun, 2)}
        self._results["facts"] = json.dumps({"contrast": self.inputs.contrast, "seconds": seconds, **facts})
        return runtime

    def _work(self, folder: Path) -> dict[str, Any]:
        raise NotImplementedError

    @property
    def _settings(self) -> PreprocessingSettings:
        inputs = self.inputs
        return PreprocessingSettings(inputs.template, inputs.sloppy, tuple(inputs.force), inputs.seed)

    def _out(self, key: str, path: Path) -> Path:
        self._results[key] = str(path)
        return path
