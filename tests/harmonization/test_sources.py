import dataclasses
import types

import numpy as np

from haca3_bids.harmonization import slicewise
from haca3_bids.harmonization.engine import harmonize
from haca3_bids.harmonization.prepare import unusual_grid
from haca3_bids.harmonization.target import Target
from haca3_bids.volumes.volume import Volume


def test_a_source_without_data_in_the_middle_is_described_by_its_other_slices():
    codes = np.full((224, 2, 4), np.nan)
    codes[90:140, 0], codes[60:80, 1] = 1, [[1, 2, 3, 4]]
    sources = {name: types.SimpleNamespace(scale=1.0) for name in ("T1w", "T2w")}
    stream = types.SimpleNamespace(
        codes=[codes] * 3,
        middle=np.arange(100, 120),
        session=types.SimpleNamespace(sources=sources, brain_covered=lambda name: 1.0),
    )
    found = slicewise._reports(stream, types.SimpleNamespace(attention=np.ones((3, 224, 2))))
    assert (found["T1w"].theta, found["T2w"].theta, found["T2w"].eta) == ((1, 1), (1, 2), (3, 4))


def test_a_grid_unlike_those_of_training_is_told():
    shape, turn = (8, 8, 8), np.eye(4)
    turn[:2, :2] = [[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]]
    told = {
        name: unusual_grid(Volume(np.zeros(shape, np.float32), affine))
        for name, affine in {"usual": np.diag([1, 1, 1.2, 1]), "thick": np.diag([1, 1, 3, 1]), "tilted": turn}.items()
    }
    assert told == {"usual": "", "thick": "has voxels of 1 x 1 x 3 mm", "tilted": "is not upright"}


def test_voxels_that_are_not_finite_are_counted(pair, tiny, settings, monkeypatch):
    run = slicewise.Slicewise.run

    def spoiled(self, *arguments):
        made = run(self, *arguments)
        made[0].image[made[0].image > 0] = np.nan
        return made

    monkeypatch.setattr(slicewise.Slicewise, "run", spoiled)
    target = Target("", "T2w", (-0.4, -0.8), (-1.8, 1.7), 900.0, "numbers")
    (found,) = harmonize(pair, [target], tiny, None, dataclasses.replace(settings, threads=1))
    assert found.record.not_finite == np.isnan(found.image.data).sum() > 100
