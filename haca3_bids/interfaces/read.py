"""The node that reads a raw scan: it rejects unusable scans, and adds remarks on unusual ones."""

from pathlib import Path

import numpy as np
from nipype.interfaces.base import File

from haca3_bids.interfaces.preprocess import VolumeOutputSpec
from haca3_bids.interfaces.step import Step, StepInputSpec
from haca3_bids.preprocessing import session
from haca3_bids.preprocessing.neck import without_neck
from haca3_bids.preprocessing.resolution import acquisition, coarse_voxels
from haca3_bids.records.preprocessing import ScanFacts
from haca3_bids.volumes.header import check_geometry
from haca3_bids.volumes.scan import check_intensities, load_scan
from haca3_bids.volumes.volume import save_volume


class _ReadInputSpec(StepInputSpec):
    in_file = File(mandatory=True, desc="raw scan")


class ReadOutputSpec(VolumeOutputSpec):
    """Outputs of ``Read``."""

    blank = File(exists=True, desc="where the scan was given zeros, on the grid of the copy")


class Read(Step):
    """A copy of a raw scan with voxels of about 2 mm and a rough bias correction: what registrations look at."""

    input_spec = _ReadInputSpec
    output_spec = ReadOutputSpec
    name_in_record = "read"

    def _work(self, folder: Path) -> ScanFacts:
        forced = "orientation" in self.inputs.force
        check_geometry(self.inputs.in_file, forced=forced)
        scan = load_scan(self.inputs.in_file, forced=forced)
        name = Path(self.inputs.in_file).name
        check_intensities(scan, name)
        head, shortened = without_neck(scan.image, name)
        copy = session.for_registration(head, self._settings)
        save_volume(copy, self._out("out_file", folder / "coarse.nii.gz"))
        blank = session.blank_voxels(head)
        save_volume(blank, self._out("blank", folder / "blank.nii.gz"), dtype=np.uint8)
        return ScanFacts(
            acquisition=acquisition(scan.image),
            remarks=(*scan.remarks, *filter(None, [shortened, coarse_voxels(scan.image, name)])),
            orientation_assumed=scan.orientation_assumed,
        )
