"""A head of ellipsoids that ANTs can register: as a scan of any contrast, and as a template."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from haca3_bids.preprocessing.resampling import resample
from haca3_bids.preprocessing.template import Template
from haca3_bids.preprocessing.transforms import inverse
from haca3_bids.volumes.volume import Volume

SHAPE, VOXEL_MM = (58, 68, 60), 3.0
#            air  bone scalp csf  grey white eye
INTENSITY = {
    "T1w": (0.0, 0.1, 1.2, 0.30, 0.70, 1.0, 0.30),
    "T2w": (0.0, 0.1, 0.7, 2.40, 1.35, 1.0, 2.40),
    "PDw": (0.0, 0.1, 0.9, 1.25, 1.20, 1.0, 1.20),
    "FLAIR": (0.0, 0.1, 0.8, 0.15, 1.25, 1.0, 0.20),
}


@dataclass(frozen=True)
class Phantom:
    """A head of ellipsoids at 3 mm: large enough to be registered, small enough to be tried often."""

    labels: NDArray[np.int16]
    affine: NDArray[np.float64]

    def image(self, contrast: str) -> Volume:
        data = np.array(INTENSITY[contrast], np.float32)[self.labels]
        return Volume(ndimage.gaussian_filter(data, 0.5), self.affine)

    def scan(
        self, contrast: str, moved: NDArray[np.float64] | None = None, noise: float = 0.02, seed: int = 0
    ) -> Volume:
        """The head as scanned in another position: ``moved`` maps template millimetres to the scan's."""
        image = self.image(contrast)
        data = resample(image, image, inverse(np.eye(4) if moved is None else moved)).data
        generator = np.random.default_rng(seed)
        noisy = np.hypot(data + noise * generator.normal(size=data.shape), noise * generator.normal(size=data.shape))
        return image.with_data(300 * noisy)

    def mask(self, *labels: int) -> NDArray[np.bool_]:
        return np.isin(self.labels, labels)

    def template(self, has_skull: bool = True) -> Template:
        head = self.image("T1w")
        brain = self.mask(3, 4, 5)
        if not has_skull:
            head = head.with_data(head.data * brain)
        white = ndimage.gaussian_filter(self.mask(5).astype(np.float32), 0.6)
        return Template("phantom", "Phantom", head, head.with_data(brain), head.with_data(white), has_skull=has_skull)


def head_phantom(voxel_mm: float = VOXEL_MM) -> Phantom:
    """A head with scalp, skull, fluid, folded grey and white matter, nuclei, eyes, neck and cerebellum.

    With smaller voxels it is a smaller head, which takes the networks less time.
    """
    affine = np.diag([VOXEL_MM] * 3 + [1.0])
    affine[:3, 3] = (-VOXEL_MM * (SHAPE[0] - 1) / 2, -118.0, -90.0)
    x, y, z = np.indices(SHAPE) * VOXEL_MM + affine[:3, 3].reshape(3, 1, 1, 1)
    labels = np.zeros(SHAPE, np.int16)

    def ball(centre: tuple[float, float, float], radii: tuple[float, float, float]) -> NDArray[np.floating]:
        axes = zip((x, y, z), centre, radii, strict=True)
        return np.sqrt(sum(((values - c) / r) ** 2 for values, c, r in axes))

    folds = 0.06 * np.sin(x / 7) * np.cos(y / 8 + 0.6) * np.sin(z / 9 + 1)
    labels[(ball((0, -20, -70), (52, 60, 40)) < 1)] = 2
    labels[ball((0, 62, -42), (40, 26, 30)) < 1] = 2
    head = ball((0, -18, 5), (78, 98, 84))
    labels[head < 1] = 2
    labels[head < 0.92] = 1
    brain = ball((0, -18, 5), (67, 85, 70))
    labels[brain < 1] = 3
    labels[brain + folds < 0.95] = 4
    labels[brain + 2 * folds < 0.80] = 5
    for side in (-1, 1):
        labels[ball((14 * side, -12, 16), (8, 30, 10)) < 1] = 3
        labels[ball((22 * side, 2, 2), (9, 16, 10)) < 1] = 4
        labels[ball((33 * side, 60, -42), (12, 12, 12)) < 1] = 6
    labels[(np.abs(x) < 2) & (brain < 1) & (z > 30)] = 3
    labels[ball((0, -62, -38), (40, 24, 20)) < 1] = 4
    labels[ball((0, -62, -38), (26, 14, 11)) < 1] = 5
    return Phantom(labels, np.diag([voxel_mm / VOXEL_MM] * 3 + [1.0]) @ affine)
