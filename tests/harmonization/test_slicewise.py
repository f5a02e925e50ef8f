import types

import numpy as np

from haca3_bids.harmonization import slicewise


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
