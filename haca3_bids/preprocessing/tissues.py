"""Grey matter and ventricles of the template.

Only its T1-weighted head, brain mask and white-matter map are needed, so this works for both templates.
"""

from typing import Any

import numpy as np
from scipy import ndimage

from haca3_bids.arrays import Array, Mask
from haca3_bids.preprocessing.head import closed, eroded
from haca3_bids.preprocessing.template import Template
from haca3_bids.volumes.box import bounding_box

# Intensities of a T1-weighted template relative to its white matter: grey matter has 0.60 to 0.81 (5th and 95th
# percentile inside the template's own map of grey matter), fluid less than half.
GREY = (0.60, 0.85)
FLUID = 0.50
NOT_WHITE, WHITE = 0.05, 0.9  # probability of white matter below which a voxel is not, above which it is white matter
VENTRICLES_MM = 15.0  # depth below the brain's surface at which fluid belongs to the ventricles


def grey_matter(template: Template) -> Mask:
    """Grey matter of the template's head, by intensity."""
    relative = _relative(template)
    brain = template.brain.data > 0.5
    grey: Any = brain & (template.white_matter.data < NOT_WHITE) & (relative > GREY[0]) & (relative < GREY[1])
    return np.asarray(grey, np.bool_)


def ventricles(template: Template) -> Mask:
    """Fluid deep in the brain of the template's head."""
    zooms, brain = template.head.zooms_mm, template.brain.data > 0.5
    box = bounding_box(brain, margin=1)
    filled = ndimage.binary_fill_holes(brain[box])  # a mask may leave the ventricles out
    deep = eroded(closed(np.asarray(filled, np.bool_), zooms, 6.0), zooms, VENTRICLES_MM)
    fluid = deep & (_relative(template)[box] < FLUID) & (template.white_matter.data[box] < 4 * NOT_WHITE)
    out = np.zeros_like(brain)
    out[box] = ndimage.binary_opening(fluid)
    return out


def _relative(template: Template) -> Array:
    white = np.median(template.head.data[template.white_matter.data > WHITE])
    return template.head.data / white
