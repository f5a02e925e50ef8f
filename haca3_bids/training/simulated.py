"""Simulated training samples: slices of one anatomy scanned at a source site and, noise-free, at a target site.

Theta and eta of the target come from another person's scan at the target site, so that they cannot encode anatomy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from haca3_bids.arrays import Array, Mask
from haca3_bids.harmonization.prepare import REFERENCE_SLICES
from haca3_bids.intensity.percentile import CEILING, PERCENTILE, TINY
from haca3_bids.networks.haca3 import PLANE
from haca3_bids.physics.anatomy import FULL, Anatomy
from haca3_bids.physics.protocols import draw_site
from haca3_bids.physics.render import render, texture, tissue_weights
from haca3_bids.physics.scanner import Imperfections, acquire, draw_acquisition, draw_artifacts
from haca3_bids.physics.signal import Protocol
from haca3_bids.physics.tissues import FATTY, IN_BRAIN, LESION, WHITE, person_deviations
from haca3_bids.settings import CONTRASTS
from haca3_bids.training.acquisition import CLOSING, FAT_LEFT, FAT_SUPPRESSED
from haca3_bids.training.crops import LESION_RADII, LESIONED, ROTATION, SCALING, SHIFT, STRIPPED
from haca3_bids.training.dropout import left_by_dropout
from haca3_bids.volumes.slices import ORIENTATIONS

SLICE_AXIS = {"axial": 2, "coronal": 1, "sagittal": 0}
ENDLESS = 10**9  # samples
COARSE = 7  # step in voxels of the subsampling from which a volume's 95th percentile is computed
AS_INFERRED, CORONAL = 0.25, 0.7  # fractions of the references: all REFERENCE_SLICES; of single slices, one of these


class SimulatedSlices(torch.utils.data.Dataset[dict[str, Tensor | int]]):
    """An endless dataset: item i depends only on (seed, i), so that a run can resume exactly.

    The first ``people`` heads (None: all) are imaged; any head may be the other person at the target site. Images are
    scaled by their volume's 95th percentile and clipped to [0, 5].
    """

    def __init__(self, heads: Sequence[Anatomy], seed: int = 0, people: int | None = None) -> None:
        self.heads, self.seed = list(heads), seed
        self.people = len(self.heads) if people is None else people
        self.coarse = [_coarse(head) for head in self.heads]
        self.inside = [_slices_with_head(head) for head in self.heads]

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> dict[str, Tensor | int]:
        rng = np.random.default_rng((self.seed, index))
        person = int(rng.integers(self.people))
        other = self.another(person, rng)
        site, target_site = draw_site(rng), draw_site(rng)
        if rng.uniform() < 0.25:
            target_site = site  # intra-site
        contrast = int(rng.integers(len(CONTRASTS)))
        target = target_site[CONTRASTS[contrast]]
        view = self.view(person, rng)
        available = left_by_dropout(_draw_present(rng), contrast, rng)
        sources, truth = view.sources(site, available, rng), view.clean(target)
        reference = self.reference(other, target, rng, inferred=rng.uniform() < AS_INFERRED)
        return {
            "sources": torch.from_numpy(sources),  # (contrasts, 224, 224)
            "available": torch.from_numpy(available),  # (contrasts,), bool
            "truth": torch.from_numpy(truth),  # (224, 224), noise-free at the target site
            "reference": torch.from_numpy(reference),  # (slices, 224, 224), another person at the target site
            "mask": torch.from_numpy(view.mask),  # (224, 224), bool: the head
            "contrast": contrast,  # of the target
        }

    def another(self, person: int, rng: np.random.Generator) -> int:
        """Another person; the same one if there is no other."""
        return int(rng.choice([number for number in range(len(self.heads)) if number != person] or [person]))

    def view(self, person: int, rng: np.random.Generator) -> View:
        """A random deformed slice of a person with random tissue values; some are skull-stripped, some have lesions."""
        orientation = ORIENTATIONS[rng.integers(3)]
        index = int(rng.choice(self.inside[person][orientation]))
        shares = _deformed(cut_shares(self.heads[person], orientation, index), rng)
        brain = shares * IN_BRAIN[:, None, None]
        if rng.uniform() < STRIPPED and brain.sum() > 0.03 * PLANE**2:
            shares = brain
        if rng.uniform() < LESIONED:
            shares = with_lesions(shares, int(rng.integers(1, 12)), rng)
        return self.view_of(person, shares, person_deviations(rng), rng)

    def view_of(self, person: int, shares: Array, deviations: Array, rng: np.random.Generator) -> View:
        """A slice with given tissue fractions (tissues, 224, 224) and tissue deviations, and random texture."""
        mask = _closed(shares.sum(axis=0) > 0.5)
        return View(shares, texture((PLANE, PLANE), rng), deviations, self.coarse[person], mask)

    def reference(self, person: int, protocol: Protocol, rng: np.random.Generator, *, inferred: bool) -> Array:
        """Slices (slices, 224, 224) of a person scanned with little noise.

        If ``inferred``, all slices from which inference estimates theta and eta; else one slice, often one of these.
        """
        deviations, acquisition = person_deviations(rng), draw_acquisition(rng, axes=2)
        acquisition = replace(acquisition, noise=min(acquisition.noise, 0.03))
        orientation, chosen = "coronal", np.array(REFERENCE_SLICES)
        if not inferred:
            if rng.uniform() >= CORONAL:
                orientation = ORIENTATIONS[rng.integers(3)]
                chosen = self.inside[person][orientation]
            chosen = rng.choice(chosen, 1)
        views = []
        for index in chosen:
            shares = cut_shares(self.heads[person], orientation, int(index))
            view = self.view_of(person, shares, deviations, rng)
            views.append(view.acquired(protocol, replace(acquisition, seed=int(rng.integers(2**31)))))
        return np.stack(views)


@dataclass(frozen=True)
class View:
    """One slice of one person, from which scans under any protocol are simulated."""

    shares: Array  # tissue fractions, (tissues, 224, 224)
    local: Array  # texture
    deviations: Array  # of the tissue values from the population mean
    coarse: Array  # tissue fractions of the subsampled volume, (voxels, tissues)
    mask: Mask  # the head

    def _scale(self, weights: Array) -> float:
        return float(np.percentile(weights[0] @ self.coarse, PERCENTILE)) + TINY

    def clean(self, protocol: Protocol) -> Array:
        """The noise-free slice (224, 224), divided by the 95th percentile of its volume."""
        return self.acquired(protocol, Imperfections(seed=0))

    def acquired(self, protocol: Protocol, how: Imperfections, fat: float = 1.0) -> Array:
        """The slice as scanned, scaled as in ``clean``; ``fat`` is the fraction of fat signal left by suppression."""
        weights = tissue_weights(protocol, self.deviations)
        weights[:, FATTY] *= fat
        image = acquire(render(self.shares, weights, self.local), how) * self.mask
        return np.clip(image / self._scale(weights), 0, CEILING).astype(np.float32)

    def sources(self, site: dict[str, Protocol], available: Mask, rng: np.random.Generator) -> Array:
        """Scans (contrasts, 224, 224) of the available contrasts at a site, some with artifacts; others are zero."""
        images = np.zeros((len(CONTRASTS), PLANE, PLANE), np.float32)
        for row, contrast in enumerate(CONTRASTS):
            if not available[row]:
                continue
            bad = available.sum() > 1 and rng.uniform() < 0.15
            how = draw_artifacts(rng) if bad else draw_acquisition(rng, axes=2)
            fat = rng.uniform(*FAT_LEFT) if rng.uniform() < FAT_SUPPRESSED else 1.0
            images[row] = self.acquired(site[contrast], how, fat) * np.float32(np.exp(rng.normal(0, 0.03)))
        return images


def cut_shares(head: Anatomy, orientation: str, index: int) -> Array:
    """Tissue fractions (tissues, 224, 224) of slice ``index`` of the canvas, oriented as in ``volumes.slices``."""
    axis = SLICE_AXIS[orientation]
    size = head.shares.shape[1 + axis]
    plane = np.take(head.shares, index - (PLANE // 2 - size // 2), axis=1 + axis).astype(np.float32) / FULL
    plane = plane.transpose(0, 2, 1)  # rows y or z, columns x or y
    if orientation != "axial":
        plane = plane[:, ::-1]
    rows, columns = plane.shape[1:]
    top = PLANE // 2 - rows // 2 if orientation == "axial" else PLANE - (PLANE // 2 - rows // 2) - rows
    left = PLANE // 2 - columns // 2
    return np.pad(plane, ((0, 0), (top, PLANE - top - rows), (left, PLANE - left - columns)))


def _coarse(head: Anatomy) -> Array:
    coarse = head.shares[:, ::COARSE, ::COARSE, ::COARSE].astype(np.float32) / FULL
    return np.ascontiguousarray(coarse.reshape(len(coarse), -1), np.float32)


def _slices_with_head(head: Anatomy) -> dict[str, NDArray[np.int_]]:
    """Canvas indices, by orientation, of the slices that contain more than 3 % head."""
    thin = head.shares[:, ::4, ::4, ::4].sum(axis=0, dtype=np.uint16) > FULL // 2
    found = {}
    for orientation, axis in SLICE_AXIS.items():
        others = tuple(a for a in range(3) if a != axis)
        full = np.flatnonzero(np.repeat(thin.mean(axis=others) > 0.03, 4))
        size = head.shares.shape[1 + axis]
        found[orientation] = full[full < size] + PLANE // 2 - size // 2
    return found


def _deformed(shares: Array, rng: np.random.Generator) -> Array:
    """The slice after a random rotation, scaling, reflection and elastic deformation."""
    angle, scale = rng.normal(0, ROTATION), np.exp(rng.normal(0, SCALING, 2))
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
    matrix[:, 0] *= rng.choice([-1, 1])
    theta = torch.tensor(np.concatenate([matrix, rng.normal(0, SHIFT, (2, 1))], axis=1), dtype=torch.float32)
    grid = functional.affine_grid(theta[None], [1, 1, PLANE, PLANE], align_corners=False)
    elastic = torch.from_numpy(rng.normal(0, 0.02, (1, 2, 9, 9)).astype(np.float32))
    grid = grid + functional.interpolate(elastic, (PLANE, PLANE), mode="bicubic").permute(0, 2, 3, 1)
    return functional.grid_sample(torch.from_numpy(shares)[None], grid, align_corners=False)[0].numpy()


def with_lesions(shares: Array, count: int, rng: np.random.Generator) -> Array:
    """The slice (tissues, h, w) with ``count`` soft-edged elliptic lesions centred in its white matter, if any."""
    places = np.argwhere(shares[WHITE] > 0.8)
    if len(places) == 0:
        return shares
    out = shares.copy()
    rows, columns = np.indices(shares.shape[1:])
    for row, column in places[rng.integers(len(places), size=count)]:
        angle, radii = rng.uniform(0, np.pi), np.exp(rng.uniform(*np.log(LESION_RADII))) * np.exp(rng.normal(0, 0.3, 2))
        along = (rows - row) * np.cos(angle) + (columns - column) * np.sin(angle)
        across = (columns - column) * np.cos(angle) - (rows - row) * np.sin(angle)
        distance = (np.hypot(along / radii[0], across / radii[1]) - 1) * radii.min()  # pixels, roughly
        changed = out[WHITE] * np.clip(0.5 - distance, 0, 1).astype(np.float32)
        out[WHITE] -= changed
        out[LESION] += changed
    return out


def _closed(mask: Mask) -> Mask:
    """Morphological closing with a square of CLOSING pixels."""
    padded = np.pad(mask, CLOSING).astype(np.uint8)
    return np.asarray(ndimage.grey_closing(padded, CLOSING)[CLOSING:-CLOSING, CLOSING:-CLOSING] > 0)


def _draw_present(rng: np.random.Generator) -> Mask:
    """The contrasts of a random session, bool (contrasts,): two to four."""
    present = np.zeros(len(CONTRASTS), bool)
    present[rng.permutation(len(CONTRASTS))[: rng.choice([2, 3, 4], p=[0.5, 0.35, 0.15])]] = True
    return present
