"""Detection of a removed face, so that no other contrast of the session restores it."""

import numpy as np
from numpy.typing import NDArray

from haca3_bids.arrays import Mask
from haca3_bids.preprocessing.transforms import Matrix, apply, inverse
from haca3_bids.volumes.volume import Volume

FACE_MM = ((-33.0, 58.0, -42.0), (33.0, 58.0, -42.0), (0.0, 68.0, -45.0))  # both eyes, root of the nose, in MNI space
RADIUS_MM = 8.0
SPACING_MM = 2.0
SEEN = 0.5  # fraction of a ball that the field of view must contain
PRESENT = 0.5  # fraction of its visible part that is head if the face is present


def looks_defaced(head: Mask, covered: Mask, grid: Volume, to_grid: Matrix) -> bool:
    """Whether most of the eyes and the root of the nose are in the field of view but not part of the head.

    ``head`` and ``covered`` are on ``grid``; ``to_grid`` maps MNI millimetres to millimetres of the grid, including the
    size of the head.
    """
    missing = 0
    seen = 0
    for centre in FACE_MM:
        points = apply(to_grid, _ball(np.asarray(centre)))
        index = np.rint(apply(inverse(grid.affine), points)).astype(np.intp)
        within = np.all((index >= 0) & (index < grid.shape), axis=1)
        index = index[within].T
        in_view = covered[tuple(index)]
        if in_view.sum() < SEEN * len(within):
            continue
        seen += 1
        missing += int(head[tuple(index)][in_view].mean() < PRESENT)
    return seen > 0 and 2 * missing > seen


def without_face(image: Volume, head: Mask) -> Volume:
    """The image set to zero outside the head mask of the defaced reference."""
    return image.with_data(np.where(head, image.data, np.float32(0)))


def _ball(centre: NDArray[np.float64]) -> NDArray[np.float64]:
    steps = np.arange(-RADIUS_MM, RADIUS_MM + 1e-6, SPACING_MM)
    offsets = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.asarray(centre + offsets[(offsets**2).sum(axis=1) <= RADIUS_MM**2])
