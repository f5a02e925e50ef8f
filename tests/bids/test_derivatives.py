"""What ``write_session`` writes, without a graph: small images, made-up facts."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from haca3_bids.bids.derivatives import Products, write_session
from haca3_bids.bids.discover import discover_subject
from haca3_bids.bids.record import Context
from haca3_bids.records.engine import EngineResult, HarmonizedImage
from haca3_bids.records.preprocessing import Preprocessing, ScanFacts
from haca3_bids.records.session import Quality
from haca3_bids.records.target import Target
from haca3_bids.settings import OutputSettings, SelectionSettings
from haca3_bids.volumes.volume import Volume, save_volume

IMAGE = Volume(np.arange(27, dtype=np.float32).reshape(3, 3, 3) + np.float32(0.4), np.eye(4))


def written(raw, scan, tmp_path, outputs: OutputSettings, stripped: dict[str, bool]) -> Path:
    """The output folder with one session of two contrasts, all of whose images are IMAGE."""
    for contrast in ("T1w", "T2w"):
        scan(f"sub-01/anat/sub-01_{contrast}.nii.gz")
    (session,) = discover_subject(raw, "01", SelectionSettings())
    image, transform = tmp_path / "image.nii.gz", tmp_path / "transform.txt"
    save_volume(IMAGE, image)
    transform.write_text("")
    facts = Preprocessing(contrasts={name: ScanFacts(skull_stripped=one) for name, one in stripped.items()})
    target = Target("", "T1w", (1.0, 2.0), (0.3, 0.5), 1000.0, "x")
    result = EngineResult((HarmonizedImage(target, file=str(image)),))
    products = Products(
        preproc=dict.fromkeys(("T1w", "T2w"), image),
        to_reference=dict.fromkeys(("T1w", "T2w"), transform),
        to_template=transform,
        from_template=transform,
        preprocessing=facts,
        result=result,
        quality=Quality(),
        native=[image],
    )
    out = tmp_path / "out"
    write_session(Context(session, raw, out, "MNI152NLin2009cSym", "", outputs=outputs), products)
    return out


@pytest.mark.parametrize(("t1w", "t2w"), [(True, True), (True, False), (False, False)])
def test_an_image_is_called_stripped_if_all_that_it_is_made_of_is(raw, scan, tmp_path, t1w, t2w) -> None:
    out = written(raw, scan, tmp_path, OutputSettings(), {"T1w": t1w, "T2w": t2w})

    def stripped(name: str) -> bool:
        return json.loads((out / f"sub-01/anat/sub-01_space-{name}.json").read_text())["SkullStripped"]

    assert stripped("MNI152NLin2009cSym_res-1_desc-preproc_T1w") is t1w
    assert stripped("MNI152NLin2009cSym_res-1_desc-preproc_T2w") is t2w
    assert stripped("MNI152NLin2009cSym_res-1_desc-haca3_T1w") is (t1w and t2w)
    assert stripped("T1w_desc-haca3_T1w") is (t1w and t2w)


@pytest.mark.parametrize(("dtype", "voxel"), [("float32", 7.4), ("int16", 7)])
def test_images_are_written_with_the_number_format_that_was_asked_for(raw, scan, tmp_path, dtype, voxel) -> None:
    out = written(raw, scan, tmp_path, OutputSettings(dtype=dtype), {"T1w": False, "T2w": False})
    images = sorted((out / "sub-01" / "anat").glob("*.nii.gz"))
    assert len(images) == 4  # two preprocessed, one harmonized on the template grid and on the native grid
    for path in images:
        image = nib.load(path)
        assert image.get_data_dtype() == dtype
        assert image.get_fdata()[0, 2, 1] == pytest.approx(voxel)
        if dtype == "int16":  # written anew, not copied
            assert int(image.header["sform_code"]) == (1 if "space-T1w" in path.name else 4)
