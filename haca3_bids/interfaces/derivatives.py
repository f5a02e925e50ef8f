"""Nodes at the end of a session: draw its figures, write its files into the dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nipype.interfaces.base import BaseInterface, BaseInterfaceInputSpec, File, TraitedSpec, isdefined, traits

from haca3_bids.bids.derivatives import Context, Products, write_session
from haca3_bids.bids.describe import target_key
from haca3_bids.bids.names import target_desc
from haca3_bids.reports.figures import draw_before_after, draw_harmonized, draw_histogram, draw_registration
from haca3_bids.volumes.volume import load_volume


class DrawInputSpec(BaseInterfaceInputSpec):  # type: ignore[misc]
    """Inputs of ``DrawFigures``."""

    contrasts = traits.List(traits.Str, mandatory=True, desc="contrasts of the session")
    raw = traits.Dict(traits.Str, File(exists=True), mandatory=True, desc="raw scan by contrast")
    preproc = traits.List(File(exists=True), mandatory=True, desc="preprocessed images, in the order of contrasts")
    brain_mask = File(exists=True, desc="the template's brain")
    white_matter = File(exists=True, desc="mask of the white-matter core")
    reference = traits.Str(mandatory=True, desc="contrast that was registered to the template")
    record = File(exists=True, mandatory=True, desc="record of the preprocessing")
    result = File(exists=True, mandatory=True, desc="result of the engine")


class DrawOutputSpec(TraitedSpec):  # type: ignore[misc]
    """Outputs of ``DrawFigures``."""

    figures = File(exists=True, desc="list of figures as JSON, files absolute")


class DrawFigures(BaseInterface):  # type: ignore[misc]
    """Registration, before and after, white-matter histogram and harmonized images of one session."""

    input_spec = DrawInputSpec
    output_spec = DrawOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        folder = Path(runtime.cwd)
        figures = [*self._preprocessing(folder), *self._harmonization(folder)]
        Path(folder, "figures.json").write_text(json.dumps(figures))
        return runtime

    def _preprocessing(self, folder: Path) -> list[dict[str, Any]]:
        figures: list[dict[str, Any]] = []
        inputs = self.inputs
        record = json.loads(Path(inputs.record).read_text())
        for contrast, path in zip(inputs.contrasts, inputs.preproc, strict=True):
            after = load_volume(path)
            if contrast == inputs.reference and isdefined(inputs.brain_mask):
                figures.append(_entry("registration", contrast, None, folder, "Registration to the template"))
                draw_registration(after, load_volume(inputs.brain_mask), figures[-1]["file"])
            title = f"{contrast} before and after preprocessing"
            figures.append(_entry("before_after", contrast, None, folder, title))
            draw_before_after(load_volume(inputs.raw[contrast]), after, title, figures[-1]["file"])
            if isdefined(inputs.white_matter):
                peak = float(record["contrasts"][contrast]["white_matter_peak"])
                figures.append(_entry("histogram", contrast, None, folder, f"{contrast}: white-matter peak"))
                draw_histogram(after, load_volume(inputs.white_matter), peak, figures[-1]["file"])
        return figures

    def _harmonization(self, folder: Path) -> list[dict[str, Any]]:
        figures = []
        sources = dict(zip(self.inputs.contrasts, self.inputs.preproc, strict=True))
        for image in json.loads(Path(self.inputs.result).read_text())["images"]:
            target = image["target"]
            contrast = str(target["contrast"])
            shown = contrast if contrast in sources else self.inputs.reference
            title = f"{contrast} harmonized to {target['name'] or 'the built-in reference'}"
            figure = _entry("harmonized", contrast, target, folder, title)
            source, harmonized = load_volume(sources[shown]), load_volume(image["file"])
            draw_harmonized(source, harmonized, title, figure["file"], source_name=f"source ({shown})")
            figures.append(figure)
        return figures

    def _list_outputs(self) -> dict[str, Any]:
        return {"figures": str(Path.cwd() / "figures.json")}


def _entry(kind: str, contrast: str, target: dict[str, Any] | None, folder: Path, title: str) -> dict[str, Any]:
    words = "".join(part.capitalize() for part in kind.split("_"))
    desc = words if target is None else f"{target_desc(str(target['name']))}{words}"
    file = folder / f"desc-{desc}_{contrast}.svg"
    key = None if target is None else target_key(target)
    return {"kind": kind, "contrast": contrast, "target": key, "file": str(file), "title": title}


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
    """Write the files of one session into the dataset, all at once. Never taken from the cache."""

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
            quality=json.loads(Path(inputs.quality).read_text()) if isdefined(inputs.quality) else {},
        )
        self._record = write_session(context, products)
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
