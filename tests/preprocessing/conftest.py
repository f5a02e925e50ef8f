from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from head_phantom import Phantom, head_phantom

from haca3_bids.volumes.volume import Volume


@pytest.fixture(scope="session")
def phantom() -> Phantom:
    return head_phantom()


@pytest.fixture
def biased() -> Callable[[Volume, float], Volume]:
    def multiply(volume: Volume, strength: float) -> Volume:
        axes = [np.linspace(-1, 1, size) for size in volume.shape]
        slope = axes[0][:, None, None] + 0.6 * axes[1][None, :, None] ** 2 - 0.8 * axes[2][None, None, :]
        return volume.with_data(volume.data * np.exp(strength * slope))

    return multiply
