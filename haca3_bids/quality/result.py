"""Quality numbers of a harmonized image: structural similarity, distance to the target, invalid voxels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haca3_bids.evaluation.similarity import compared
from haca3_bids.quality.contrast import contrast_vector, is_table, name_doubt
from haca3_bids.settings import WHITE_MATTER_PEAK

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

FLOOR_PERCENTILE = 2.0  # of the brain


def measure_result(
    image: Mapping[str, Any], result: Mapping[str, Any], harmonized: Array, source: Array | None, brain: Mask
) -> dict[str, Any]:
    """The numbers of one harmonized image; ``source`` is the session's own image of that contrast, if it has one.

    ``image`` is the engine's entry of the image and ``result`` its whole answer (theta and eta of sources, of the
    harmonized image and of the built-in references).
    """
    contrast = str(image["target"]["contrast"])
    own = (image.get("sources") or {}).get(contrast) or {}
    reference = (result.get("references") or {}).get(contrast) or {}
    targets = [one["target"] for one in result.get("images") or () if one["target"]["contrast"] == contrast]
    tells_of_source = image["target"] in targets[:1] or not targets  # once, however many targets have this contrast
    finite = np.nan_to_num(harmonized[brain], nan=0.0, posinf=0.0, neginf=0.0)
    return {
        "nan_count": int(np.count_nonzero(~np.isfinite(harmonized))),
        "clipped_share": clipped_share(finite),
        "csf_floor": float(np.percentile(finite, FLOOR_PERCENTILE) / WHITE_MATTER_PEAK) if finite.size else None,
        "ssim": None if source is None else structure_kept(source, harmonized, brain),
        "theta_distance_before": theta_distance(own.get("theta"), image["target"].get("theta")),
        "theta_distance_after": theta_distance(image.get("theta_after"), image["target"].get("theta")),
        "eta_distance": (eta := distance(own.get("eta"), reference.get("eta"))),
        "eta_clean_percentile": percentile(eta, reference.get("clean_eta")),
        "residual": own.get("residual"),
        "name_doubt": name_doubt(contrast, own.get("looks_like"), own.get("theta")) if tells_of_source else None,
    }


def percentile(value: float | None, quantiles: Sequence[float] | None) -> float | None:
    """Where a value stands, 0 to 100, among quantiles in equal steps; None where either is not known."""
    if value is None or not quantiles:
        return None
    return float(np.interp(value, quantiles, np.linspace(0, 100, len(quantiles))))


def clipped_share(values: Array) -> float | None:
    """Share of values that are zero or less, or that pile up at the very top."""
    if not values.size:
        return None
    top = float(values.max())
    return float(((values <= 0) | ((values >= top) & (np.count_nonzero(values >= top) > 1))).mean())


def structure_kept(source: Array, harmonized: Array, brain: Mask) -> float | None:
    """Mean structural similarity inside the brain of two images of one contrast: that of ``haca3 evaluate``."""
    try:
        return compared(np.nan_to_num(harmonized), source, brain).ssim
    except ValueError:  # nothing to compare
        return None


def theta_distance(one: Sequence[float] | None, other: Sequence[float] | None) -> float | None:
    """Root mean square of the log differences of two tables, or the Euclidean distance of HACA3's thetas."""
    if not one or not other:
        return None
    apart = math.dist(contrast_vector(one), contrast_vector(other))
    return apart / math.sqrt(len(one)) if is_table(one) else apart


def distance(one: Sequence[float] | None, other: Sequence[float] | None) -> float | None:
    """Euclidean distance of two points; None where one is not known."""
    return None if not one or not other else math.dist(one, other)
