"""Mean and spread of the images that were drawn."""

import numpy as np

from haca3_bids.harmonization.drawn import DrawnImage


def test_mean_and_deviation_are_those_of_the_images_drawn():
    chance = np.random.default_rng(0)
    images = [chance.random((3, 4, 5), dtype=np.float32) for _ in range(5)]
    gathered = DrawnImage()
    for image in images:
        gathered.add(image.copy(), None)
    np.testing.assert_allclose(gathered.mean, np.mean(images, axis=0), atol=1e-6)
    np.testing.assert_allclose(gathered.std(), np.std(images, axis=0, ddof=1), atol=1e-6)
