"""What nodes have in common: named output files, the images of a session, and the facts of preprocessing."""

import time
from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any

from nipype.interfaces.base import BaseInterfaceInputSpec, File, SimpleInterface, TraitedSpec, traits

from haca3_bids.memory import forget_peak_memory, peak_memory_bytes
from haca3_bids.records.files import to_json, to_readable_json
from haca3_bids.records.preprocessing import Preprocessing, ScanFacts
from haca3_bids.settings import PreprocessingSettings


class SessionInputSpec(BaseInterfaceInputSpec):  # type: ignore[misc]
    """The preprocessed images of a session."""

    contrasts = traits.List(traits.Str, mandatory=True, desc="contrasts of the session")
    preproc = traits.List(File(exists=True), mandatory=True, desc="preprocessed images, in the order of contrasts")


class WritingInterface(SimpleInterface):  # type: ignore[misc]
    """A node that writes files."""

    def _out(self, key: str, path: Path) -> Path:
        """The path of an output, which the node then writes."""
        self._results[key] = str(path)
        return path

    def _write(self, key: str, folder: str | Path, content: object) -> None:
        """Write an output as JSON, ``KEY.json`` in ``folder``."""
        self._out(key, Path(folder) / f"{key}.json").write_text(to_readable_json(content), encoding="utf-8")


class StepInputSpec(BaseInterfaceInputSpec):  # type: ignore[misc]
    """Inputs of all steps."""

    contrast = traits.Str("", usedefault=True, desc="contrast of the scan; empty for a step of the whole session")
    template = traits.Str("MNI152NLin2009cSym", usedefault=True, desc="name of the template")
    sloppy = traits.Bool(False, usedefault=True, desc="coarse and fast")
    force = traits.List(traits.Str(), usedefault=True, desc="what may be poor")
    seed = traits.Int(0, usedefault=True, desc="seed of ITK's samplers")


class StepOutputSpec(TraitedSpec):  # type: ignore[misc]
    """Outputs of all steps."""

    facts = traits.Str(desc="what it found: a piece of ``Preprocessing`` as JSON")


class Step(WritingInterface, ABC):
    """A node that runs ``_work`` and returns its facts with time and memory."""

    input_spec = StepInputSpec
    output_spec = StepOutputSpec
    name_in_record = ""

    def _run_interface(self, runtime: Any) -> Any:
        begun = time.perf_counter()
        forget_peak_memory()
        found, memory = self._work(Path(runtime.cwd)), peak_memory_bytes()
        facts = replace(
            found,
            seconds={self.name_in_record: round(time.perf_counter() - begun, 2)},
            memory_mb={} if memory is None else {self.name_in_record: round(memory / 1e6)},
        )
        piece = Preprocessing(contrasts={self.inputs.contrast: facts}) if isinstance(facts, ScanFacts) else facts
        self._results["facts"] = to_json(piece)
        return runtime

    @abstractmethod
    def _work(self, folder: Path) -> Preprocessing | ScanFacts:
        """Run the step, with ``folder`` for its files; returns facts about the session or its scan."""

    @property
    def _settings(self) -> PreprocessingSettings:
        inputs = self.inputs
        return PreprocessingSettings(inputs.template, inputs.sloppy, tuple(inputs.force), inputs.seed)
