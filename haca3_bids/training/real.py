"""Training samples from scans of people: as in the paper, a session's contrasts and a target with its theta.

Within a session the target is one of its own images, and the truth is known; theta is taken from another slice of the
same volume, so that it cannot carry anatomy. Between sites only theta and eta of the target are known (the cycle
losses); these targets are scans of truly other sites.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from haca3_bids.physics.scanner import acquire, draw_artifacts
from haca3_bids.settings import CONTRASTS
from haca3_bids.training.scans import PlacedSession
from haca3_bids.volumes.slices import ORIENTATIONS, cut

Array = NDArray[np.float32]

INTER_SITE = 0.3  # share of the samples whose target is a scan of another site
DROPPED = 0.5  # share of the samples in which a source is dropped (attention dropout), where there are several
DEGRADED = 0.15  # share of the sources that get simulated artifacts, where there are several
CLIP = 5.0
LEAST_HEAD = 0.03  # of a slice
PLANE = 224


class RealSlices(torch.utils.data.Dataset[dict[str, Tensor | int]]):
    """An endless dataset: item i is drawn from (seed, i) alone. Fields as in ``simulated.Sample``, without labels.

    ``paired`` tells whether ``truth`` is known.
    """

    def __init__(self, sessions: Sequence[PlacedSession], seed: int = 0, length: int = 10**9) -> None:
        self.sessions, self.seed, self.length = list(sessions), seed, length
        self.inside = [_slices_with_head(session.mask) for session in self.sessions]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor | int]:
        rng = np.random.default_rng((self.seed, index))
        several = [i for i, session in enumerate(self.sessions) if len(session.values) > 1]
        own = int(rng.choice(several))
        orientation = ORIENTATIONS[rng.integers(3)]
        place = int(rng.choice(self.inside[own][orientation]))
        session, flip = self.sessions[own], bool(rng.integers(2))
        images = {c: _slice(v, orientation, place, flip) for c, v in session.values.items()}
        mask = _slice(session.mask, orientation, place, flip) > 0
        paired = rng.uniform() >= INTER_SITE
        of = own if paired else self._elsewhere(session.site, rng)
        contrast = str(rng.choice(sorted(self.sessions[of].values)))
        available = self._available(images, contrast, rng)
        sources, severity = _sources(images, available, rng)
        truth = images[contrast] if paired else np.zeros((PLANE, PLANE), np.float32)
        return {
            "sources": torch.from_numpy(sources),
            "available": torch.from_numpy(available),
            "degraded": torch.from_numpy(severity),
            "truth": torch.from_numpy(truth),
            "reference": torch.from_numpy(self._reference(of, contrast, rng)),
            "mask": torch.from_numpy(mask),
            "contrast": CONTRASTS.index(contrast),
            "paired": torch.tensor(paired),
        }

    def _elsewhere(self, site: str, rng: np.random.Generator) -> int:
        return int(rng.choice([i for i, other in enumerate(self.sessions) if other.site != site]))

    def _available(self, images: dict[str, Array], target: str, rng: np.random.Generator) -> NDArray[np.bool_]:
        """The session's contrasts, often without one of them; the target's own is dropped first."""
        available = np.array([contrast in images for contrast in CONTRASTS])
        if rng.uniform() < DROPPED:
            available[CONTRASTS.index(target)] = False
        elif available.sum() > 1:
            available[rng.choice(np.flatnonzero(available))] = False
        return available

    def _reference(self, session: int, contrast: str, rng: np.random.Generator) -> Array:
        """One slice of the target's volume, of another place or orientation, (1, 224, 224)."""
        orientation = ORIENTATIONS[rng.integers(3)]
        place = int(rng.choice(self.inside[session][orientation]))
        return _slice(self.sessions[session].values[contrast], orientation, place, False)[None]


def _sources(images: dict[str, Array], available: NDArray[np.bool_], rng: np.random.Generator) -> tuple[Array, Array]:
    """The available images in the order of CONTRASTS, some with artifacts, and how bad these are."""
    sources = np.zeros((len(CONTRASTS), PLANE, PLANE), np.float32)
    severity = np.zeros(len(CONTRASTS), np.float32)
    for row in np.flatnonzero(available):
        image = images[CONTRASTS[row]]
        if available.sum() > 1 and rng.uniform() < DEGRADED:
            how = draw_artifacts(rng, axes=2)
            image, severity[row] = acquire(image, how) * (image > 0), how.severity
        sources[row] = np.clip(image, 0, CLIP)
    return sources, severity


def _slice(volume: NDArray[np.float16] | NDArray[np.bool_], orientation: str, index: int, flip: bool) -> Array:
    plane: Array = np.asarray(cut(volume, orientation)[index], np.float32)
    return np.ascontiguousarray(plane[:, ::-1] if flip else plane)


def _slices_with_head(mask: NDArray[np.bool_]) -> dict[str, NDArray[np.int_]]:
    thin = np.asarray(mask)
    return {name: np.flatnonzero(cut(thin, name).mean(axis=(1, 2)) > LEAST_HEAD) for name in ORIENTATIONS}
