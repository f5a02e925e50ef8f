"""The lateral and third ventricles of an upright head: fluid near their usual position."""

import numpy as np
from scipy import ndimage

from haca3_bids.arrays import Array, Mask
from haca3_bids.physics.anatomy import AFFINE, Anatomy
from haca3_bids.volumes.box import Box, bounding_box

# centres and radii in RAS millimetres of MNI space; the first three lie on both sides
PLACES_MM = (
    ((13, -8, 17), (13, 36, 14)),  # bodies
    ((12, 20, 8), (11, 18, 14)),  # frontal horns
    ((26, -42, 8), (11, 16, 16)),  # atria
    ((0, -12, 2), (4, 18, 10)),  # third ventricle
)
REACH_MM = 5  # beyond these places, through fluid only, because heads differ in size
SMALLEST_MM3 = 300  # a smaller piece is part of a sulcus
MARGIN = 4  # voxels around the brain


def ventricles(anatomy: Anatomy) -> Mask:
    """The lateral and third ventricles: voxels that are mostly fluid, on the grid of the anatomy."""
    box = brain_box(anatomy)
    fluid = anatomy.share_of("csf")[box] > 0.5
    wide = ndimage.binary_opening(fluid)
    seeds = wide & _usual_places(box)
    found = np.zeros(anatomy.shares.shape[1:], bool)
    grown = ndimage.binary_dilation(seeds, iterations=REACH_MM, mask=wide)
    pieces, _ = ndimage.label(grown)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    found[box] = (sizes >= SMALLEST_MM3)[pieces]
    return found


def brain_box(anatomy: Anatomy) -> Box:
    """The bounding box of the brain, with a margin; the whole grid if there is no brain."""
    return bounding_box(anatomy.brain, MARGIN)


def _usual_places(box: Box) -> Mask:
    x, y, z = (
        AFFINE[axis, axis] * np.arange(part.start, part.stop, dtype=np.float32) + AFFINE[axis, 3]
        for axis, part in enumerate(box)
    )
    inside = np.zeros((len(x), len(y), len(z)), bool)
    for centre, radii in PLACES_MM:
        parts: list[Array] = [
            ((np.abs(along) if axis == 0 else along) - c) ** 2 / np.float32(r) ** 2
            for axis, (along, c, r) in enumerate(zip((x, y, z), centre, radii, strict=True))
        ]
        inside |= parts[0][:, None, None] + parts[1][None, :, None] + parts[2][None, None, :] < 1
    return inside
