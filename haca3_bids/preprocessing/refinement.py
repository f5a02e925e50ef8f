"""Refinement of a registration with ANTs from a close start; the result is reproducible bit by bit."""

import tempfile
from pathlib import Path

import numpy as np

from haca3_bids.arrays import Mask
from haca3_bids.preprocessing.ants_bridge import RAS_TO_LPS, seeded_ants, to_ants
from haca3_bids.preprocessing.similarity import BINS
from haca3_bids.preprocessing.transforms import Matrix, write_itk
from haca3_bids.settings import PreprocessingSettings
from haca3_bids.volumes.volume import Volume

FULL = ((60, 30), (2, 1), (1, 0))  # iterations, shrink factors, smoothing (voxels) on images of 2 mm
SLOPPY = ((30,), (2,), (1,))
SAMPLED = 0.25  # share of the voxels, on a regular lattice with a seeded jitter


def refined(
    fixed: Volume, mask: Mask, moving: Volume, start: Matrix, kind: str, settings: PreprocessingSettings
) -> Matrix:
    """The pull matrix ``start`` refined by maximising Mattes mutual information inside ``mask``.

    ``kind`` is "Rigid", "Similarity" or "Affine". The images should have voxels of about 2 mm.
    """
    iterations, shrinks, smoothings = SLOPPY if settings.sloppy else FULL
    with tempfile.TemporaryDirectory(prefix="haca3-") as folder, seeded_ants(settings.seed) as ants:
        first = Path(folder) / "start.txt"
        write_itk(start, first)
        result = ants.registration(
            to_ants(ants, fixed),
            to_ants(ants, moving),
            type_of_transform=kind,
            initial_transform=[str(first)],
            outprefix=str(Path(folder) / "refined_"),
            mask=to_ants(ants, fixed.with_data(mask)),
            aff_metric="mattes",
            aff_sampling=BINS,
            aff_random_sampling_rate=SAMPLED,
            aff_iterations=iterations,
            aff_shrink_factors=shrinks,
            aff_smoothing_sigmas=smoothings,
            singleprecision=False,
        )
        transform = ants.read_transform(result["fwdtransforms"][0])
        numbers = np.asarray(transform.parameters, np.float64)
        centre = np.asarray(transform.fixed_parameters, np.float64)[:3]
    lps = np.eye(4)
    lps[:3, :3] = numbers[:9].reshape(3, 3)
    lps[:3, 3] = numbers[9:12] + centre - lps[:3, :3] @ centre
    return np.asarray(RAS_TO_LPS @ lps @ RAS_TO_LPS, np.float64)
