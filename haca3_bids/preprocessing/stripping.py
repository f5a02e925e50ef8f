"""Detection of a removed skull: nearly everything is black where skull and scalp should be."""

import numpy as np
from scipy import ndimage

from haca3_bids.arrays import Mask
from haca3_bids.volumes.box import bounding_box
from haca3_bids.volumes.volume import Volume

SHELL_MM = (7.0, 15.0)  # from the brain: skull and scalp, and no fluid
BLACK, BLACK_SHARE = 0.01, 0.8  # of the brain's median; of the shell, in a scan whose skull was removed


def looks_stripped(image: Volume, brain: Mask, covered: Mask) -> bool:
    """Whether nearly all voxels in a shell around the ``brain`` are black; False if the shell is out of view.

    ``brain`` and ``covered``, the field of view, are masks on the grid of ``image``.
    """
    box = bounding_box(brain, margin=int(np.ceil(SHELL_MM[1] / image.zooms_mm.min())))
    distance_mm = ndimage.distance_transform_edt(~brain[box], sampling=image.zooms_mm)
    shell = (distance_mm > SHELL_MM[0]) & (distance_mm <= SHELL_MM[1]) & covered[box]
    inside = brain[box] & covered[box]
    if not shell.any() or not inside.any():
        return False
    data = image.data[box]
    return float((data[shell] < BLACK * np.median(data[inside])).mean()) > BLACK_SHARE
