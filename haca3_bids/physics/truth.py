"""The ground truth of an anatomy: tissue maps and volumes."""

import numpy as np
from numpy.typing import NDArray

from haca3_bids.arrays import Mask
from haca3_bids.physics.anatomy import FULL, Anatomy
from haca3_bids.physics.tissues import LESION
from haca3_bids.physics.ventricles import ventricles

MAPS = {"CSF": "csf", "GM": "grey", "SGM": "deep_grey", "WM": "white", "L": "lesion"}  # BIDS label: tissue
MM3_A_ML = 1000.0


def crisp(anatomy: Anatomy) -> NDArray[np.uint8]:
    """The most frequent tissue of each voxel: its index in TISSUES plus 1; 0 is air."""
    air = FULL - np.minimum(anatomy.shares.sum(axis=0, dtype=np.uint16), FULL)
    most = anatomy.shares.max(axis=0)
    return np.where(most > air, anatomy.shares.argmax(axis=0) + 1, 0).astype(np.uint8)


def lesion_mask(anatomy: Anatomy) -> Mask:
    """Voxels that are at least half lesion."""
    out: Mask = anatomy.shares[LESION] > FULL // 2
    return out


def volumes_ml(anatomy: Anatomy) -> dict[str, float]:
    """Millilitres of the tissues of MAPS, of ventricles (voxels mostly fluid) and of the brain with its fluid."""
    found = {tissue: float(anatomy.share_of(tissue).sum(dtype=np.float64)) / MM3_A_ML for tissue in MAPS.values()}
    found["ventricles"] = float(ventricles(anatomy).sum()) / MM3_A_ML
    found["intracranial"] = sum(found[tissue] for tissue in MAPS.values())
    return {name: round(value, 3) for name, value in found.items()}
