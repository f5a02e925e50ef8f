"""Nodes at the end of a session: write its files into the dataset, then the page of its subject."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nipype.interfaces.base import BaseInterface, BaseInterfaceInputSpec, File, TraitedSpec, isdefined, traits

from haca3_bids.bids.derivatives import Context, Products, write_session
from haca3_bids.reports.subject import write_subject_page


class WriteSessionInputSpec(BaseInterfaceInputSpec):  # type: ignore[misc]
    """Inputs of ``WriteSession``."""

    context = traits.Any(mandatory=True, nohash=True, desc="Context of the session")
    contrasts = traits.List(traits.Str, mandatory=True, desc="contrasts of the session")
    preproc = traits.List(File(exists=True), mandatory=True, desc="preprocessed images, in the order of contrasts")
    to_reference = traits.List(File(exists=True), mandatory=True, desc="transforms, in the order of contrasts")
    to_template = File(exists=True, mandatory=True, desc="transform of the reference to the template")
    from_template = File(exists=True, mandatory=True, desc="its inverse")
    record = File(exists=True, mandatory=True, desc="record of the preprocessing")
    result = File(exists=True, mandatory=True, desc="result of the engine")
    native = traits.List(File(exists=True), desc="harmonized images on the reference's own grid")
    figures = File(exists=True, desc="list of figures as JSON")
    quality = File(exists=True, desc="quality numbers and verdict as JSON")


class WriteSessionOutputSpec(TraitedSpec):  # type: ignore[misc]
    """Outputs of ``WriteSession``."""

    record = File(desc="record of the session in the dataset")


class WriteSession(BaseInterface):  # type: ignore[misc]
    """Write the files of one session into the dataset, all at once, and its subject's page. Never cached."""

    input_spec = WriteSessionInputSpec
    output_spec = WriteSessionOutputSpec
    _always_run = True

    def _run_interface(self, runtime: Any) -> Any:
        inputs = self.inputs
        context: Context = inputs.context
        preprocessing = json.loads(Path(inputs.record).read_text())
        result = json.loads(Path(inputs.result).read_text())
        products = Products(
            preproc=_paths(inputs.contrasts, inputs.preproc),
            to_reference=_paths(inputs.contrasts, inputs.to_reference),
            to_template=Path(inputs.to_template),
            from_template=Path(inputs.from_template),
            preprocessing=preprocessing,
            result=result,
            native=[Path(path) for path in inputs.native] if isdefined(inputs.native) else [],
            figures=json.loads(Path(inputs.figures).read_text()) if isdefined(inputs.figures) else [],
            seconds=_seconds(preprocessing, result),
            memory_mb=_memory_mb(preprocessing, result),
            quality=json.loads(Path(inputs.quality).read_text()) if isdefined(inputs.quality) else {},
        )
        self._record = write_session(context, products)
        write_subject_page(context.output_dir, context.session.subject)
        return runtime

    def _list_outputs(self) -> dict[str, Any]:
        return {"record": str(self._record)}


def _paths(contrasts: list[str], files: list[str]) -> dict[str, Path]:
    return {contrast: Path(path) for contrast, path in zip(contrasts, files, strict=True)}


def _seconds(preprocessing: dict[str, Any], result: dict[str, Any]) -> dict[str, float]:
    """Seconds of each step, those of preprocessing summed over the contrasts."""
    seconds: dict[str, float] = {}
    for own in (preprocessing, *preprocessing.get("contrasts", {}).values()):
        for step, value in own.get("seconds", {}).items():
            seconds[step] = seconds.get(step, 0.0) + float(value)
    return seconds | {"harmonization": float(result.get("seconds", 0.0))}


def _memory_mb(preprocessing: dict[str, Any], result: dict[str, Any]) -> dict[str, float]:
    """The most memory that each step held, in any contrast."""
    most: dict[str, float] = {}
    for own in (preprocessing, *preprocessing.get("contrasts", {}).values()):
        for step, value in own.get("memory_mb", {}).items():
            most[step] = max(most.get(step, 0.0), float(value))
    networks = result.get("peak_memory_bytes")
    return most | ({"harmonization": round(networks / 1e6)} if networks else {})
