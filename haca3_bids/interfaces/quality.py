"""Nodes that measure the quality of scans and harmonized images, and determine the verdict."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from nipype.interfaces.base import File, TraitedSpec, traits

from haca3_bids.arrays import Mask
from haca3_bids.interfaces.preprocess import LABELS
from haca3_bids.interfaces.step import SessionInputSpec, Step, StepInputSpec, StepOutputSpec, WritingInterface
from haca3_bids.preprocessing.head import dilated, head_mask
from haca3_bids.preprocessing.quality import AIR_MM
from haca3_bids.preprocessing.resampling import resample_mask
from haca3_bids.preprocessing.stripping import looks_stripped
from haca3_bids.preprocessing.transforms import Matrix, inverse, read_itk
from haca3_bids.quality.result import measure_result
from haca3_bids.quality.scan import AsScanned, Regions, measure_scan, measured_air
from haca3_bids.quality.verdict import judge
from haca3_bids.records.engine import EngineResult
from haca3_bids.records.files import from_json
from haca3_bids.records.preprocessing import Preprocessing, ScanFacts
from haca3_bids.records.session import Numbers
from haca3_bids.volumes.volume import Volume, load_mask, load_volume

WHOLLY = 0.99  # of a voxel: splines carry the edge of a blank region a little way into what was measured


class _MeasureInputSpec(StepInputSpec):
    in_file = File(exists=True, mandatory=True, desc="preprocessed image")
    to_template = File(exists=True, mandatory=True, desc="rigid, ITK text")
    native = File(exists=True, mandatory=True, desc="coarse copy of the scan on its own grid")
    to_reference = File(exists=True, mandatory=True, desc="rigid, ITK text")
    blank = File(exists=True, mandatory=True, desc="where the scan was given zeros, on the grid of native")
    coverage = File(exists=True, mandatory=True, desc="its field of view")
    head_mask = File(exists=True, mandatory=True, desc="head of the reference")
    brain_mask = File(exists=True, mandatory=True, desc="the template's brain, stretched to the subject's")
    white_matter = File(exists=True, mandatory=True, desc="core of white matter")
    regions = File(exists=True, mandatory=True, desc="label map of grey matter, ventricles and air")


class Measure(Step):
    """The quality numbers of one preprocessed scan."""

    input_spec = _MeasureInputSpec
    output_spec = StepOutputSpec
    name_in_record = "measure"

    def _work(self, folder: Path) -> ScanFacts:  # noqa: ARG002
        inputs = self.inputs
        labels = load_volume(inputs.regions, may_be_constant=True).data
        regions = Regions(
            load_mask(inputs.head_mask),
            load_mask(inputs.brain_mask),
            load_mask(inputs.white_matter),
            *(labels == label for label in LABELS.values()),
        )
        image, covered = load_volume(inputs.in_file), load_mask(inputs.coverage)
        pull = read_itk(inputs.to_reference) @ read_itk(inputs.to_template)
        raw = as_scanned(load_volume(inputs.native), image, pull, regions, covered, load_mask(inputs.blank))
        return ScanFacts(
            skull_stripped=looks_stripped(image, regions.brain, covered),
            quality=measure_scan(image.data, covered, regions, inputs.contrast, raw),
        )


def as_scanned(copy: Volume, grid: Volume, pull: Matrix, regions: Regions, covered: Mask, blank: Mask) -> AsScanned:
    """A scan's coarse copy with the masks of the template grid; ``pull`` leads from there to the scan.

    ``blank`` is where the scan was given zeros, on the grid of the copy.
    """
    air, white = (
        resample_mask(grid.with_data(mask), copy, inverse(pull)) for mask in (regions.air & covered, regions.white)
    )
    air &= ~dilated(head_mask(copy), copy.zooms_mm, AIR_MM)  # thick scalp reaches beyond where air is looked for
    measured = resample_mask(copy.with_data(~blank), grid, pull, threshold=WHOLLY)
    return AsScanned(copy.data, measured_air(air, blank), white, copy.zooms_mm, ~measured)


class _JudgeInputSpec(SessionInputSpec):
    brain_mask = File(exists=True, mandatory=True, desc="the template's brain")
    record = File(exists=True, mandatory=True, desc="record of the preprocessing")
    result = File(exists=True, mandatory=True, desc="result of the engine")
    thresholds = traits.List(traits.Any, usedefault=True, desc="limits other than the usual ones")


class _JudgeOutputSpec(TraitedSpec):  # type: ignore[misc]
    quality = File(exists=True, desc="quality numbers and verdict as JSON")


class Judge(WritingInterface):
    """The quality numbers of a session's harmonized images, and the verdict on the session."""

    input_spec = _JudgeInputSpec
    output_spec = _JudgeOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        inputs = self.inputs
        sources = dict(zip(inputs.contrasts, inputs.preproc, strict=True))
        result = from_json(Path(inputs.result).read_bytes(), EngineResult)
        brain = load_mask(inputs.brain_mask)
        images: dict[str, Numbers] = {}
        for image in result.images:
            source = sources.get(image.target.contrast)
            compared = None if source is None else load_volume(source).data
            measured = measure_result(image, result, load_volume(image.file).data, compared, brain)
            images[image.target.key] = asdict(measured)
        preprocessing = from_json(Path(inputs.record).read_bytes(), Preprocessing)
        changes = [(measure, look, fail) for measure, look, fail in inputs.thresholds]
        self._write("quality", runtime.cwd, judge(preprocessing, images, changes))
        return runtime
