"""Degradation grows step by step from the same beginning."""

from __future__ import annotations

import numpy as np
import pytest

from haca3_bids.physics.degradation import LADDERS, steps
from haca3_bids.physics.scanner import Imperfections, acquire


@pytest.mark.parametrize("artifact", LADDERS)
def test_every_step_is_farther_from_the_image(artifact: str) -> None:
    x, y, z = np.indices((24, 24, 24)) - 11.5
    image = ((x**2 + y**2 + z**2 < 90) * (1 + 0.2 * np.sin(x))).astype(np.float32)
    first, *worse = steps(artifact, Imperfections(seed=1))
    assert np.array_equal(acquire(image, first), image)
    errors = [float(((acquire(image, how) - image) ** 2).mean()) for how in worse]
    assert errors == sorted(errors)
    assert errors[0] > 0
    assert [how.severity for how in worse] == sorted({how.severity for how in worse})
