"""Whether a mask that is given, instead of computed, belongs to the scan."""

import numpy as np

from haca3_bids.arrays import Mask
from haca3_bids.errors import BadInput
from haca3_bids.preprocessing.head import dilated, head_mask
from haca3_bids.preprocessing.resampling import resample_mask
from haca3_bids.preprocessing.template import Template
from haca3_bids.preprocessing.transforms import Matrix, inverse
from haca3_bids.volumes.volume import Volume

SHARE_IN_HEAD = {"brain": 0.8, "head": 0.5}  # of a mask, by kind; heads of other programs may reach into the air
VOLUMES = {"brain": (0.1, 1.6), "head": (0.1, 6.0)}  # least and most, relative to the template's brain
RIM_MM = 3.0  # in a skull-stripped scan, the head is the brain or smaller
SMALLEST_DICE = 0.75  # 0.79 for a mask of the right size that is shifted by 20 mm, 0.69 for 30 mm
ML = 1e-3  # of a mm³


def check_mask(mask: Volume, kind: str, reference: Volume, template: Template, name: str) -> None:
    """Raise BadInput if a ``brain`` or ``head`` is hardly in the head of the reference or has no such volume.

    Of a head, only the part in the field of view counts, because the neck may have been cut. ``name`` is that of the
    file.
    """
    inside = resample_mask(mask, reference, np.eye(4))
    least, most = (factor * _volume_ml(template.brain, template.brain.data > 0.5) for factor in VOLUMES[kind])
    volume = _volume_ml(reference, inside)
    wrong = ""
    if not least <= volume <= most:
        wrong = f"it has {volume:.0f} ml in the scan's field of view; {least:.0f} to {most:.0f} ml are possible"
    else:
        head = dilated(head_mask(reference), reference.zooms_mm, RIM_MM)
        whole = _volume_ml(mask, mask.data >= 0.5) if kind == "brain" else volume
        share = _volume_ml(reference, head & inside) / whole
        if share < SHARE_IN_HEAD[kind]:
            wrong = (
                f"{100 * share:.0f} % of it lie in the head; at least {100 * SHARE_IN_HEAD[kind]:.0f} % are required"
            )
    if wrong:
        raise BadInput(
            f"The {kind} mask {name} does not fit the session's reference scan: {wrong}.",
            "Give a mask in the space of this scan, or leave out its folder (--derivatives).",
        )


def check_brain(mask: Volume, affine: Matrix, reference: Volume, template: Template, name: str) -> None:
    """Raise BadInput if a given brain is elsewhere than that of the template, which ``affine`` places in the scan."""
    given = resample_mask(mask, reference, np.eye(4))
    found = resample_mask(template.brain, reference, inverse(affine))
    overlap = 2.0 * (given & found).sum() / max(int(given.sum() + found.sum()), 1)  # Dice coefficient
    if overlap < SMALLEST_DICE:
        raise BadInput(
            f"The brain mask {name} is not where the registration finds the brain of the reference scan (Dice "
            f"coefficient {overlap:.2f}, at least {SMALLEST_DICE} is required).",
            "Is it in the space of another session? Leave out its folder (--derivatives).",
        )


def _volume_ml(grid: Volume, mask: Mask) -> float:
    return float(mask.sum() * np.prod(grid.zooms_mm)) * ML
