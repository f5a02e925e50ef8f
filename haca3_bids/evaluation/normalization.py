"""Baselines of intensity: histogram matching, and Nyul, WhiteStripe and z-score of the package intensity-normalization.

Each normalization has an intensity scale of its own. For comparison with a scan, the normalized image is mapped to the
scale of a reference image, which was normalized in the same way.
"""

from typing import Any

import numpy as np
from skimage.exposure import match_histograms

from haca3_bids.arrays import Array, Mask

NYUL, WHITESTRIPE, ZSCORE = "Nyul", "WhiteStripe", "z-score"
METHODS = (NYUL, WHITESTRIPE, ZSCORE)
LOWEST, HIGHEST = 1.0, 99.0  # percentiles at the ends of the standard scale of Nyul
MODALITIES = {"T1w": "t1", "T2w": "t2", "PDw": "pd", "FLAIR": "flair"}


def matched(image: Array, mask: Mask, reference: Array, reference_mask: Mask) -> Array:
    """The image with the histogram of the reference inside ``mask``, and zero outside.

    The reference may be of another person and on another grid.
    """
    out = np.zeros(image.shape, np.float32)
    out[mask] = match_histograms(image[mask], reference[reference_mask])
    return out


def normalized(method: str, image: Array, mask: Mask, reference: Array, reference_mask: Mask, contrast: str) -> Array:
    """The image normalized to the reference by one of METHODS; parameters are estimated inside the masks.

    Nyul: a piecewise linear function maps percentiles to those of the reference (Nyul and Udupa, MRM 42:1072, 1999).
    WhiteStripe and z-score: a linear function matches the mean and standard deviation of white matter (Shinohara et
    al., NeuroImage Clin 6:9, 2014), or of the mask. Raises ImportError without the package intensity-normalization, and
    ValueError if an image cannot be normalized.
    """
    from intensity_normalization import create_image
    from intensity_normalization.domain.exceptions import NormalizationError

    one, inside, other, other_inside = map(create_image, (image, mask, reference, reference_mask))
    try:
        if method == NYUL:
            nyul = _nyul(reference[reference_mask]).fit_population([other], [other_inside])
            return _array(nyul.transform(one, inside))
        own, wanted = _linear(method, contrast).fit(one, inside), _linear(method, contrast).fit(other, other_inside)
    except NormalizationError as error:
        raise ValueError(str(error)) from error
    return np.asarray(_array(own.transform(one)) * wanted.std + wanted.mean, np.float32)


def _nyul(reference: Array) -> Any:
    """A normalizer whose standard scale is that of the reference intensities."""
    from intensity_normalization import NyulNormalizer

    low, high = np.percentile(reference, [LOWEST, HIGHEST])
    return NyulNormalizer(float(low), float(high), LOWEST, HIGHEST)


def _linear(method: str, contrast: str) -> Any:
    from intensity_normalization import Modality, WhiteStripeNormalizer, ZScoreNormalizer

    return ZScoreNormalizer() if method == ZSCORE else WhiteStripeNormalizer(modality=Modality(MODALITIES[contrast]))


def _array(image: Any) -> Array:
    return np.asarray(image.get_data(), np.float32)
