"""The node that resamples a harmonized image to the grid of the session's reference scan."""

from pathlib import Path
from typing import Any

from nipype.interfaces.base import BaseInterfaceInputSpec, File, TraitedSpec, traits

from haca3_bids.interfaces.step import WritingInterface
from haca3_bids.preprocessing.registration import resample_to_native
from haca3_bids.preprocessing.transforms import read_itk
from haca3_bids.volumes.scan import load_scan
from haca3_bids.volumes.volume import load_volume, save_volume


class _ToNativeInputSpec(BaseInterfaceInputSpec):  # type: ignore[misc]
    images = traits.List(File(exists=True), mandatory=True, desc="images on the template grid")
    reference = File(mandatory=True, desc="raw scan whose grid is wanted")
    to_template = File(exists=True, mandatory=True, desc="rigid, ITK text: reference to template")


class _ToNativeOutputSpec(TraitedSpec):  # type: ignore[misc]
    out_files = traits.List(File(exists=True), desc="the images on the reference's grid")


class ToNative(WritingInterface):
    """Bring images from the template grid to the grid of the session's reference scan."""

    input_spec = _ToNativeInputSpec
    output_spec = _ToNativeOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        inputs = self.inputs
        native, to_template = load_scan(inputs.reference).image, read_itk(inputs.to_template)
        made = [Path(runtime.cwd) / f"native_{Path(image).name}" for image in inputs.images]
        for image, path in zip(inputs.images, made, strict=True):
            save_volume(resample_to_native(load_volume(image), native, to_template), path)
        self._results["out_files"] = [str(path) for path in made]
        return runtime
