"""Detection of neck and shoulders in the field of view, which can mislead the search for the head."""

import numpy as np

from haca3_bids.preprocessing.head import head_mask
from haca3_bids.preprocessing.resampling import shrink
from haca3_bids.volumes.box import cropped
from haca3_bids.volumes.volume import Volume

LOOK_MM = 4.0  # voxel size for the detection of the vertex
SMALLEST_MM2 = 500.0  # area of the mask in a plane: a smaller one is a speck above the head
HEAD_MM = 170.0  # below the vertex: contains the whole brain, even if tilted, as in FSL's robustfov
LONGEST_MM = 260.0  # longer than any head, and than the usual field of view of 256 mm


def without_neck(volume: Volume, name: str) -> tuple[Volume, str]:
    """The image cropped to 17 cm below the vertex if it shows more than a head, else unchanged.

    The direction of the vertex is taken from the header. The sentence, which begins with ``name``, is for the record;
    it is empty if nothing is cropped.
    """
    axis = int(np.argmax(np.abs(volume.affine[2, :3] / volume.zooms_mm)))
    upwards = bool(volume.affine[2, axis] > 0)
    zoom_mm = float(volume.zooms_mm[axis])
    coarse = shrink(volume, LOOK_MM)
    across = tuple(other for other in range(3) if other != axis)
    areas_mm2 = head_mask(coarse).sum(axis=across) * np.prod(coarse.zooms_mm[list(across)])
    seen = np.flatnonzero(areas_mm2 >= SMALLEST_MM2)
    per_plane = round(float(coarse.zooms_mm[axis]) / zoom_mm)
    first, end = (int(seen[0]) * per_plane, (int(seen[-1]) + 1) * per_plane) if seen.size else (0, 0)
    reach_mm = (end - first) * zoom_mm
    if reach_mm <= LONGEST_MM:
        return volume, ""
    keep = round(HEAD_MM / zoom_mm)
    box = [slice(0, size) for size in volume.shape]
    box[axis] = slice(end - keep, volume.shape[axis]) if upwards else slice(0, first + keep)
    sentence = (
        f"{name} shows {reach_mm / 10:.0f} cm of the body: registration uses the upper {HEAD_MM / 10:.0f} cm only."
    )
    return cropped(volume, tuple(box)), sentence
