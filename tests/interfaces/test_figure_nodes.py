"""The figures of a session: what is compared by eye is shown with the same grey scale."""

from pathlib import Path

import numpy as np
from PIL import Image

from haca3_bids.interfaces.figures import DrawResults, DrawTarget
from haca3_bids.records.engine import EngineResult, HarmonizedImage
from haca3_bids.records.files import from_json, to_json
from haca3_bids.records.session import Figure
from haca3_bids.records.target import Target
from haca3_bids.volumes.volume import Volume, save_volume


def test_source_target_and_harmonized_image_have_the_same_grey_scale(tmp_path: Path) -> None:
    data = np.full((60, 60, 60), 600, np.float32)
    data[20:40, 20:40, 20:40] = 1000
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    affine[:3, 3] = -90
    source, harmonized = tmp_path / "source.nii.gz", tmp_path / "harmonized.nii.gz"
    save_volume(Volume(data, affine), source)
    brighter = data.copy()
    brighter[:5] = 3000  # a bright border, such as fat, does not darken the rest
    save_volume(Volume(brighter, affine), harmonized)
    target = Target("site", "T1w", (0.1,) * 13, (0.0,), 1000.0, "an image")
    result = tmp_path / "result.json"
    result.write_text(to_json(EngineResult(images=(HarmonizedImage(target, file=str(harmonized)),))))

    (tmp_path / "results").mkdir()
    (tmp_path / "targets").mkdir()
    draw = DrawResults(contrasts=["T1w"], preproc=[str(source)], reference="T1w", result=str(result))
    drawn = draw.run(cwd=str(tmp_path / "results")).outputs.figures
    DrawTarget(contrasts=["T1w"], preproc=[str(source)]).run(cwd=str(tmp_path / "targets"))

    figures = from_json(Path(drawn).read_bytes(), list[Figure])
    shown = [Path(figure.file) for figure in figures if figure.role != "difference"]
    greys = [middle(path) for path in (*shown, tmp_path / "targets" / "T1w.jpg")]
    assert len(greys) == 3
    assert np.ptp(greys) <= 1
    assert abs(greys[0] - 255 / 1.25) <= 2  # white matter in a T1w


def middle(path: Path) -> float:
    """The grey in the middle of the axial plane of the middle row."""
    image = np.asarray(Image.open(path).convert("L"))
    height = image.shape[0] // 7
    row = image[3 * height : 4 * height]
    return float(np.median(row[height // 2 - 3 : height // 2 + 3, -height // 2 - 3 : -height // 2 + 3]))
