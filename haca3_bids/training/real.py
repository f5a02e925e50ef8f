"""Training samples from real scans: the contrasts of a session, and a target with its theta, as in the paper.

Within a session, the target is one of its own images and the truth is known; theta comes from another slice of the
same volume, so that it cannot encode anatomy. Between sites, the target is a scan of another site, and only its theta
and eta are known (cycle losses).
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from haca3_bids.arrays import Array, Mask
from haca3_bids.harmonization.prepare import REFERENCE_SLICES
from haca3_bids.intensity.percentile import CEILING
from haca3_bids.networks.haca3 import PLANE
from haca3_bids.physics.scanner import acquire, draw_artifacts
from haca3_bids.settings import CONTRASTS
from haca3_bids.training.dropout import left_by_dropout
from haca3_bids.training.scans import PlacedSession
from haca3_bids.training.simulated import AS_INFERRED, ENDLESS
from haca3_bids.volumes.slices import ORIENTATIONS, cut

INTER_SITE = 0.3  # fraction of the samples whose target is a scan of another site
DEGRADED = 0.15  # fraction of the sources with simulated artifacts
LEAST_HEAD = 0.03  # smallest fraction of head in a slice, or half of the largest one if that is less
ANY = ""  # in place of a contrast: the head in any image of the session


class RealSlices(torch.utils.data.Dataset[dict[str, Tensor | int]]):
    """An endless dataset: item i is drawn from (seed, i) alone. Fields as in ``simulated.Sample``, and two more.

    ``paired``: whether ``truth`` is known; the ``mask`` is then the head that this scan shows, else that of any scan.
    ``present``: the contrasts of the session, of which attention may use those that are ``available``.
    """

    def __init__(self, sessions: Sequence[PlacedSession], seed: int = 0) -> None:
        self.sessions, self.seed = list(sessions), seed
        self.inside = [
            {name: _slices_with_head(seen) for name, seen in {**session.votes, ANY: session.mask}.items()}
            for session in self.sessions
        ]

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> dict[str, Tensor | int]:
        rng = np.random.default_rng((self.seed, index))
        several = [i for i, session in enumerate(self.sessions) if len(session.values) > 1]
        own = int(rng.choice(several))
        session, flip = self.sessions[own], bool(rng.integers(2))
        paired = rng.uniform() >= INTER_SITE
        of = own if paired else self._elsewhere(session.site, rng)
        contrast = str(rng.choice(sorted(self.sessions[of].values)))
        seen = contrast if paired else ANY
        orientation = ORIENTATIONS[rng.integers(3)]
        place = int(rng.choice(self.inside[own][seen][orientation]))
        images = {c: _slice(v, orientation, place, flip) for c, v in session.values.items()}
        mask = _slice(session.votes[contrast] if paired else session.mask, orientation, place, flip) > 0
        present = np.array([name in images for name in CONTRASTS])
        available = left_by_dropout(present, CONTRASTS.index(contrast), rng)
        truth = images[contrast] if paired else np.zeros((PLANE, PLANE), np.float32)
        return {
            "sources": torch.from_numpy(_sources(images, rng)),
            "available": torch.from_numpy(available),
            "present": torch.from_numpy(present),
            "truth": torch.from_numpy(truth),
            "reference": torch.from_numpy(self._reference(of, contrast, (orientation, place), rng)),
            "mask": torch.from_numpy(mask),
            "contrast": CONTRASTS.index(contrast),
            "paired": torch.tensor(paired),
        }

    def _elsewhere(self, site: str, rng: np.random.Generator) -> int:
        return int(rng.choice([i for i, other in enumerate(self.sessions) if other.site != site]))

    def _reference(self, session: int, contrast: str, shown: tuple[str, int], rng: np.random.Generator) -> Array:
        """Slices (slices, 224, 224) of the target's volume, without the slice ``shown`` (orientation, index)."""
        orientation, inside = ORIENTATIONS[rng.integers(3)], self.inside[session][contrast]
        if as_inferred := rng.uniform() < AS_INFERRED:
            orientation = "coronal"
        places = np.array(
            [place for place in inside[orientation] if (orientation, place) != shown] or inside[orientation]
        )
        middle = np.intersect1d(places, REFERENCE_SLICES)
        chosen = middle if as_inferred and len(middle) else rng.choice(places, 1)
        volume = self.sessions[session].values[contrast]
        return np.stack([_slice(volume, orientation, int(place), False) for place in chosen])


def _sources(images: dict[str, Array], rng: np.random.Generator) -> Array:
    """The images (contrasts, 224, 224) in the order of CONTRASTS, some with simulated artifacts."""
    sources = np.zeros((len(CONTRASTS), PLANE, PLANE), np.float32)
    for contrast, image in images.items():
        row, seen = CONTRASTS.index(contrast), image
        if rng.uniform() < DEGRADED:
            seen = acquire(image, draw_artifacts(rng)) * (image > 0)
        sources[row] = np.clip(seen, 0, CEILING)
    return sources


def _slice(volume: NDArray[np.float16] | Mask, orientation: str, index: int, flip: bool) -> Array:
    plane: Array = np.asarray(cut(volume, orientation)[index], np.float32)
    return np.ascontiguousarray(plane[:, ::-1] if flip else plane)


def _slices_with_head(mask: Mask) -> dict[str, NDArray[np.int_]]:
    shares = {name: cut(np.asarray(mask), name).mean(axis=(1, 2)) for name in ORIENTATIONS}
    return {name: np.flatnonzero(share > min(LEAST_HEAD, share.max() / 2)) for name, share in shares.items()}
