"""Batches for the mixture model from real scans: one contrast of a session is predicted from its others.

The truth is the scan itself, which is excluded from attention and carry. Theta is measured, so that nothing has to be
known about the scanners. Batches have the form of simulated ones; tissue fractions are zero, and severity is NaN.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from haca3_bids.arrays import Array
from haca3_bids.bids.atomic import read_json, write_json
from haca3_bids.errors import BadInput
from haca3_bids.harmonization.prepare import Prepared
from haca3_bids.harmonization.voxelwise import Voxelwise
from haca3_bids.networks.mixture import Mixture
from haca3_bids.networks.table import Prior
from haca3_bids.settings import CONTRASTS, WHITE_MATTER_PEAK, HarmonizationSettings
from haca3_bids.training.crops import CROP
from haca3_bids.training.mixture_batches import BATCH, MixtureBatch
from haca3_bids.training.scans import PlacedSession
from haca3_bids.volumes.slices import ORIENTATIONS, cut

Thetas = Mapping[str, tuple[float, ...]]  # by contrast
Measure = Callable[[PlacedSession], Thetas]  # theta of each contrast of a session
INSIDE_STEP = 4  # voxels between the places where crops may be centred


@dataclass(frozen=True)
class _Person:
    """A session and its measured theta."""

    session: PlacedSession
    thetas: Mapping[str, tuple[float, ...]]
    inside: NDArray[np.intp]  # voxels of the head, (places, 3)


def measured_by(model: Mixture, priors: Mapping[str, Prior], device: torch.device) -> Measure:
    """A function that measures theta as inference does, with the weights that the model has now."""
    settings = HarmonizationSettings(device=str(device))
    method = Voxelwise(copy.deepcopy(model), priors, settings, device, white=WHITE_MATTER_PEAK)

    def measure(session: PlacedSession) -> dict[str, tuple[float, ...]]:
        images = {}
        for contrast, values in session.values.items():
            votes = np.asarray(session.votes[contrast])
            images[contrast] = Prepared(np.asarray(values, np.float32), votes, votes, session.scales[contrast])
        return {contrast: codes.theta for contrast, codes in method.session_codes(images).items()}

    return measure


def kept_thetas(sessions: Sequence[PlacedSession], measure: Measure, file: Path, weights: str = "") -> Measure:
    """The same measurements, kept in ``file``, so that a resumed training continues exactly.

    They are made once for the images of a session and the ``weights`` (a digest) with which theta is measured.
    """
    known = read_json(file) or {}
    needed = {one.name: {"weights": weights, "images": dict(one.digests)} for one in sessions}
    missing = [one for one in sessions if (known.get(one.name) or {}).get("made_from") != needed[one.name]]
    if missing:
        known |= {one.name: {"made_from": needed[one.name], "thetas": measure(one)} for one in missing}
        write_json(file, known)
    thetas: dict[str, Thetas] = {one.name: known[one.name]["thetas"] for one in sessions}
    return lambda session: thetas[session.name]


class ScanData:
    """Batches from the sessions with several contrasts; batch ``step`` depends only on (seed, step).

    Raises BadInput if no session has two contrasts.
    """

    def __init__(self, sessions: Sequence[PlacedSession], measure: Measure, seed: int, device: torch.device) -> None:
        usable = [session for session in sessions if len(session.values) > 1]
        if not usable:
            raise BadInput(
                "No session has two contrasts; in training, one contrast is predicted from the others.",
                "Give sessions with at least two contrasts.",
            )
        self.people = [
            _Person(one, measure(one), np.argwhere(one.mask[(slice(None, None, INSIDE_STEP),) * 3]) * INSIDE_STEP)
            for one in usable
        ]
        self.seed, self.device = seed, device

    def batch(self, step: int) -> MixtureBatch:
        """The batch of one step: random crops, all with the same number of sources."""
        rng = np.random.default_rng((self.seed, step))
        most = max(len(person.thetas) for person in self.people) - 1
        sources = int(rng.integers(1, most + 1))
        able = [person for person in self.people if len(person.thetas) > sources]
        drawn = [self._crop(able[rng.integers(len(able))], sources, rng) for _ in range(BATCH[sources])]
        stacked = {name: np.stack([one[name] for one in drawn]) for name in drawn[0]}
        return MixtureBatch(**{name: torch.from_numpy(part).to(self.device) for name, part in stacked.items()})

    def _crop(self, person: _Person, sources: int, rng: np.random.Generator) -> dict[str, NDArray[np.generic]]:
        """One sample: the fields of ``MixtureBatch`` without their first axis."""
        session = person.session
        names = rng.permutation(list(person.thetas))
        target, chosen = str(names[0]), [str(name) for name in names[1 : sources + 1]]
        where, orientation = person.inside[rng.integers(len(person.inside))], ORIENTATIONS[rng.integers(3)]
        mirrored = rng.uniform() < 0.5

        def picture(volume: NDArray[np.generic], factor: float = 1.0) -> Array:
            part = _around(volume, orientation, where).astype(np.float32) * np.float32(factor)
            return part[:, ::-1] if mirrored else part

        images = [picture(session.values[name], session.scales[name] / WHITE_MATTER_PEAK) for name in (*chosen, target)]
        head = picture(session.votes[target])  # elsewhere the target's intensities are unknown
        covers = np.stack([(picture(session.votes[name]) > 0) & (head > 0) for name in chosen])
        thetas = np.array([person.thetas[name] for name in (*chosen, target)], np.float32)
        numbers = np.array([CONTRASTS.index(name) for name in (*chosen, target)])
        return {
            "images": np.stack(images[:-1]),
            "covers": covers,
            "thetas": thetas[:-1],
            "tables": thetas[:-1],
            "severity": np.full(sources, np.nan, np.float32),
            "contrasts": numbers[:-1],
            "truth": np.stack(images[-1:]),
            "targets": thetas[-1:],
            "wanted": numbers[-1:],
            "scale": np.array([session.scales[target] / WHITE_MATTER_PEAK], np.float32),
            "shares": np.zeros((thetas.shape[1] + 1, *head.shape), np.float32),
            "head": head,
        }


def _around(volume: NDArray[np.generic], orientation: str, where: NDArray[np.intp]) -> NDArray[np.generic]:
    """The crop (CROP, CROP) around a voxel, shifted to lie inside the canvas."""
    x, y, z = (int(value) for value in where)
    slices = cut(volume, orientation)
    number, row, column = {
        "axial": (z, y, x),
        "coronal": (y, slices.shape[1] - 1 - z, x),
        "sagittal": (x, slices.shape[1] - 1 - z, y),
    }[orientation]
    top, left = (
        int(np.clip(middle - CROP // 2, 0, size - CROP))
        for middle, size in zip((row, column), slices.shape[1:], strict=True)
    )
    return slices[number, top : top + CROP, left : left + CROP]
