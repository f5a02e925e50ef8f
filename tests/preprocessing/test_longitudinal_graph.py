"""Two visits through the graphs of haca3_bids/workflows/longitudinal.py and preprocess.py, as a run connects them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from nipype.pipeline import engine as pe

from haca3_bids.preprocessing.transforms import similarity_matrix
from haca3_bids.settings import PreprocessingSettings
from haca3_bids.volumes.volume import Volume, load_volume, save_volume
from haca3_bids.workflows.longitudinal import init_frame_wf
from haca3_bids.workflows.preprocess import init_preprocess_wf

SETTINGS = PreprocessingSettings(sloppy=True, longitudinal=True)
CENTRE = (0.0, -18.0, 5.0)
PLACES = {
    "sub-01_ses-1": similarity_matrix((0.0, 0.05, 0.0), (3.0, 0.0, -4.0), 0.0, CENTRE),
    "sub-01_ses-2": similarity_matrix((0.2, 0.0, -0.1), (8.0, -6.0, 9.0), 0.0, CENTRE),
}


@pytest.fixture(scope="module")
def done(phantom, tmp_path_factory):
    folder = tmp_path_factory.mktemp("visits")
    files = {}
    for seed, (visit, place) in enumerate(PLACES.items()):
        files[visit] = folder / f"{visit}_T1w.nii.gz"
        save_volume(phantom.scan("T1w", place, seed=seed), files[visit])
    frame = init_frame_wf("01", files, SETTINGS)
    whole = pe.Workflow(name="whole", base_dir=str(folder))
    for number, (visit, file) in enumerate(files.items(), 1):
        inner = init_preprocess_wf({"T1w": file}, SETTINGS, visit=visit).clone(f"visit{number}")
        whole.connect(frame, "outputnode.frame", inner, "inputnode.frame")
    whole.config["execution"] = {"crashdump_dir": str(folder), "poll_sleep_duration": "0.1"}
    with pytest.MonkeyPatch.context() as patch:
        for module in ("preprocess", "longitudinal"):
            patch.setattr(f"haca3_bids.interfaces.{module}.load_template", lambda name: phantom.template())
        return {node.fullname.partition(".")[2]: node.result.outputs for node in whole.run().nodes()}


def preproc(done, number: int) -> Volume:
    return load_volume(done[f"visit{number}.white_matter_T1w"].out_file)


@pytest.mark.slow
def test_two_visits_lie_upon_each_other_with_the_same_masks(phantom, done) -> None:
    one, other = preproc(done, 1), preproc(done, 2)
    brain = phantom.mask(3, 4, 5)
    assert np.corrcoef(one.data[brain], other.data[brain])[0, 1] > 0.95
    for mask in ("brain_mask", "white_matter"):
        same = [load_volume(getattr(done[f"visit{number}.regions"], mask)).data for number in (1, 2)]
        np.testing.assert_array_equal(*same)


@pytest.mark.slow
def test_the_record_names_the_visits_and_the_frame_has_a_head_to_crop_to(phantom, done) -> None:
    record = json.loads(Path(done["visit2.collect"].record).read_text())
    assert record["registration"]["visits"] == list(PLACES)
    assert record["registration"]["passed"]
    (frame,) = [outputs for name, outputs in done.items() if name.endswith("frame_sub_01_wf.frame")]
    assert load_volume(frame.head).has_grid_of(phantom.template().head)
