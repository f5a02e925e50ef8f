"""Mean and standard deviation of sampled images, one sample in memory at a time (Welford, Technometrics 4:419)."""

import numpy as np

from haca3_bids.arrays import Array
from haca3_bids.harmonization.stream import Draw


class DrawnImage:
    """The mean of the images of one target, and their standard deviation if there are several."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: Array | None = None
        self.squares: Array | None = None
        self.first: Draw | None = None

    def add(self, image: Array, draw: Draw) -> None:
        """Include one more image, the result of ``draw``."""
        self.count += 1
        if self.mean is None:
            self.mean, self.first = image, draw
            return
        if self.squares is None:
            self.squares = np.zeros_like(image)
        change = image - self.mean
        self.mean += change / np.float32(self.count)
        self.squares += change * (image - self.mean)

    def std(self) -> Array | None:
        """The standard deviation over the images; None if there is only one."""
        if self.squares is None:
            return None
        deviation: Array = np.sqrt(self.squares / np.float32(self.count - 1))
        return deviation
