"""The record that the mixture model would leave of a session, from the one that HACA3 has left."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from haca3_bids.physics.tissues import TISSUES

TABLES = {  # contrast: intensities of TISSUES
    "T1w": (0.28, 0.77, 0.81, 1.0, 1.9, 0.7, 0.8, 0.1, 1.3, 0.3, 0.5, 0.3, 0.7),
    "T2w": (3.4, 1.5, 1.3, 1.0, 1.7, 0.6, 0.5, 0.05, 1.0, 0.4, 0.4, 3.0, 2.1),
    "PDw": (1.3, 1.28, 1.2, 1.0, 1.3, 0.8, 0.7, 0.1, 0.9, 0.5, 0.6, 1.3, 1.4),
    "FLAIR": (0.28, 1.33, 1.2, 1.0, 2.0, 0.6, 0.5, 0.05, 1.0, 0.4, 0.4, 0.4, 2.3),
}


def as_mixture(record: dict[str, Any]) -> dict[str, Any]:
    """The record with tables in place of HACA3's theta, one number as eta, and what only the mixture model says."""
    record = copy.deepcopy(record)
    after = record["harmonization"]
    after["weights"] |= {"name": "builtin", "variant": "mixture"}
    after |= {"fusion": None, "beta": "soft"}
    after["references"] = {name: {"theta": list(table), "eta": [0.0]} for name, table in TABLES.items()}
    for image in after["images"]:
        contrast = image["target"]["contrast"]
        image["target"] |= {"theta": list(TABLES[contrast]), "eta": [0.0]}
        image |= {"theta_after": _table(contrast, image.get("theta_after", (2.0,))), "eta_after": [0.01]}
        image["sources"] = {source: _source(source, own) for source, own in image["sources"].items()}
    return record


def _source(contrast: str, own: dict[str, Any]) -> dict[str, Any]:
    said = {"theta": _table(contrast, own["theta"]), "eta": [0.11], "residual": 0.043, "looks_like": contrast}
    return own | said | {"scale": 1000.0, "brain_covered": 0.99}


def _table(contrast: str, theta: Sequence[float]) -> list[float]:
    """The contrast's table, off by a few percent that HACA3's theta decides."""
    off = 1 + 0.02 * (theta[0] % 7)
    return [value if name == "white" else value * off for name, value in zip(TISSUES, TABLES[contrast], strict=True)]
