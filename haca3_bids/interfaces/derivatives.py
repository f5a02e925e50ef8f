"""The node at the end of a session: write its files into the dataset."""

from pathlib import Path
from typing import Any

from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits

from haca3_bids.bids.derivatives import Products, write_session
from haca3_bids.bids.record import Context
from haca3_bids.interfaces.step import SessionInputSpec
from haca3_bids.records.engine import EngineResult
from haca3_bids.records.files import from_json
from haca3_bids.records.preprocessing import Preprocessing
from haca3_bids.records.session import Figure, Quality


class _WriteSessionInputSpec(SessionInputSpec):
    context = traits.Any(mandatory=True, nohash=True, desc="Context of the session")
    to_reference = traits.List(File(exists=True), mandatory=True, desc="transforms, in the order of contrasts")
    to_template = File(exists=True, mandatory=True, desc="transform of the reference to the template")
    from_template = File(exists=True, mandatory=True, desc="its inverse")
    record = File(exists=True, mandatory=True, desc="record of the preprocessing")
    result = File(exists=True, mandatory=True, desc="result of the engine")
    native = traits.List(File(exists=True), desc="harmonized images on the reference's own grid")
    figures = File(exists=True, mandatory=True, desc="list of figures of the preprocessing as JSON")
    figures_of_results = File(exists=True, mandatory=True, desc="list of figures of the results as JSON")
    quality = File(exists=True, mandatory=True, desc="quality numbers and verdict as JSON")


class _WriteSessionOutputSpec(TraitedSpec):  # type: ignore[misc]
    record = File(desc="record of the session in the dataset")


class WriteSession(SimpleInterface):  # type: ignore[misc]
    """Write the files of one session into the dataset, all at once. Never cached."""

    input_spec = _WriteSessionInputSpec
    output_spec = _WriteSessionOutputSpec
    _always_run = True

    def _run_interface(self, runtime: Any) -> Any:
        inputs = self.inputs
        context: Context = inputs.context
        products = Products(
            preproc=_paths(inputs.contrasts, inputs.preproc),
            to_reference=_paths(inputs.contrasts, inputs.to_reference),
            to_template=Path(inputs.to_template),
            from_template=Path(inputs.from_template),
            preprocessing=from_json(Path(inputs.record).read_bytes(), Preprocessing),
            result=from_json(Path(inputs.result).read_bytes(), EngineResult),
            native=[Path(path) for path in inputs.native] if isdefined(inputs.native) else [],
            figures=(*_figures(inputs.figures), *_figures(inputs.figures_of_results)),
            quality=from_json(Path(inputs.quality).read_bytes(), Quality),
        )
        self._results["record"] = str(write_session(context, products))
        return runtime


def _figures(file: str) -> tuple[Figure, ...]:
    return from_json(Path(file).read_bytes(), tuple[Figure, ...])


def _paths(contrasts: list[str], files: list[str]) -> dict[str, Path]:
    return {contrast: Path(path) for contrast, path in zip(contrasts, files, strict=True)}
