"""The node that reconstructs thin slices from thick ones."""

from pathlib import Path

from nipype.interfaces.base import File, traits

from haca3_bids.interfaces.harmonize import run_process
from haca3_bids.interfaces.preprocess import VolumeOutputSpec
from haca3_bids.interfaces.step import Step, StepInputSpec
from haca3_bids.preprocessing.eclare import run_eclare
from haca3_bids.preprocessing.resolution import acquisition
from haca3_bids.records.engine import SuperResolveJob, SuperResolveResult
from haca3_bids.records.preprocessing import ScanFacts
from haca3_bids.volumes.scan import load_scan
from haca3_bids.volumes.volume import load_volume, save_volume


class _SuperResolveInputSpec(StepInputSpec):
    in_file = File(mandatory=True, desc="raw scan")
    method = traits.Enum("builtin", "eclare", usedefault=True, desc="the built-in network, or the program ECLARE")
    threads = traits.Int(1, usedefault=True, nohash=True, desc="threads of the process")
    device = traits.Str("cpu", usedefault=True, nohash=True, desc="device of ECLARE: cpu, cuda or cuda:N")
    use_gpu = traits.Bool(False, usedefault=True, nohash=True, desc="whether the node takes a slot of a GPU")


class SuperResolve(Step):
    """The scan with thin slices; a scan that was not taken in thick ones is handed on as it is."""

    input_spec = _SuperResolveInputSpec
    output_spec = VolumeOutputSpec
    name_in_record = "super_resolution"

    def _work(self, folder: Path) -> ScanFacts:
        inputs = self.inputs
        scan = load_scan(inputs.in_file).image
        taken = acquisition(scan)
        if not taken.two_dimensional:
            self._results["out_file"] = inputs.in_file
            return ScanFacts()
        if inputs.method == "eclare":
            path = folder / "thin.nii.gz"
            save_volume(run_eclare(scan, taken.axis, folder / "eclare", inputs.device, inputs.threads), path)
        else:
            save_volume(scan, folder / "scan.nii")  # as it was understood: the process reads headers by itself
            path = self._builtin(folder / "scan.nii", taken.axis, folder)
        self._results["out_file"] = str(path)
        spacing = round(float(load_volume(path).zooms_mm[taken.axis]), 4)
        return ScanFacts(super_resolution=inputs.method, thin_spacing_mm=spacing)

    def _builtin(self, raw: Path, axis: int, folder: Path) -> Path:
        inputs, out = self.inputs, folder / "thin"
        job = SuperResolveJob(str(out), str(raw), axis, inputs.seed, inputs.sloppy, inputs.threads)
        return out / run_process(job, SuperResolveResult, folder, inputs.threads).file
