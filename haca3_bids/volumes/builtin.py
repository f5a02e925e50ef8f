"""The ICBM 2009a brain and tissue maps of nilearn, for the built-in template and the built-in head."""

import numpy as np

from haca3_bids.volumes.volume import Volume


def load_icbm2009a() -> dict[str, Volume]:
    """T1-weighted ``brain`` (skull-stripped, 0..1), ``grey`` and ``white`` matter probabilities, 197 x 233 x 189, 1 mm.

    Source: ICBM 2009a nonlinear symmetric (Fonov et al. 2011), as packaged by nilearn.
    """
    from nilearn.datasets import load_mni152_gm_template, load_mni152_template, load_mni152_wm_template

    loaders = {"brain": load_mni152_template, "grey": load_mni152_gm_template, "white": load_mni152_wm_template}
    images = {name: load(resolution=1) for name, load in loaders.items()}
    return {
        name: Volume(np.asarray(image.dataobj, np.float32), np.asarray(image.affine, np.float64))
        for name, image in images.items()
    }
