"""Checks of a registration, with measures other than the one that was maximised.

The similarity is the correlation of edges (ranks of gradient magnitudes), which does not depend on the contrast. Its
value depends on the scan, but for any correct alignment it decreases with displacement. Therefore the *distinctness*,
the similarity minus its mean over a ring of displaced alignments, is required as well.

For two contrasts of one session, edges differ. Their mutual information is used although it was maximised: it exceeds
that of displaced alignments so clearly that no wrong position reaches it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import rankdata

from haca3_bids.arrays import Array, Mask
from haca3_bids.intensity.artifacts import unevenness
from haca3_bids.intensity.blank import blank_mask
from haca3_bids.preprocessing.head import dilated, head_mask
from haca3_bids.preprocessing.resampling import field_of_view, isotropic_grid, resample, resample_mask, shrink
from haca3_bids.preprocessing.similarity import compare
from haca3_bids.preprocessing.template import Template
from haca3_bids.preprocessing.tissues import ventricles
from haca3_bids.preprocessing.transforms import Matrix, apply, inverse, similarity_matrix
from haca3_bids.volumes.volume import Volume

VOXEL_MM = 3.0
EDGE_SIGMA_MM = 3.0  # scale of the edges that are compared: sulci, the fissure, the brain's surface
VENTRICLES_MM = 14.0  # from the template's ventricles: no edges are compared there
INFORMATION_MM, INFORMATION_POINTS = 4.0, 25000  # voxels and points at which two contrasts are compared
RING_MM, RING_RADIANS = 12.0, 0.3  # displacement of the displaced alignments
SMALLEST = 100  # points: too few for a measure
BLACK, BLACK_LIMIT = 0.005, 0.08  # of the head's median: not measured; largest fraction of the brain that may be so
BLACK_SLICES_LIMIT = 0.3  # fraction of slices; air above the vertex that was set to zero is less
AIR_MM, AIR_LIMIT = 10.0, 0.15  # from the head; mean of the air relative to the head's median, where a scan is noisy
SPAN_MM = 130.0  # a narrower image does not contain the whole brain
UNEVEN_LIMIT = 0.15  # unevenness of the air if a scan has ghosts
COREGISTRATION_LIMIT = 0.8  # ratio of mutual information to its mean in displaced positions, minus 1


@dataclass(frozen=True)
class Quality:
    """Figures of one alignment; ``brain_*`` are shares of the template's brain (0..1)."""

    similarity: float
    distinctness: float
    brain_in_head: float
    brain_covered: float


@dataclass(frozen=True)
class EdgeComparison:
    """Points of a fixed image, its edges there, and the edges of a moving image."""

    points: NDArray[np.float64]  # (n, 3), mm
    fixed_edges: Array  # (n,)
    moving_edges: Volume

    def at(self, pull: Matrix) -> float:
        """Correlation of the ranks of both edges under ``pull``, within the moving image."""
        index = apply(inverse(self.moving_edges.affine) @ pull, self.points).T
        values = ndimage.map_coordinates(self.moving_edges.data, index, order=1, mode="constant", cval=-1.0)
        inside = values >= 0
        if inside.sum() < SMALLEST:
            return 0.0
        ranks = [rankdata(edges[inside], "ordinal") for edges in (self.fixed_edges, values)]
        return float(np.corrcoef(ranks)[0, 1])

    def distinctness(self, pull: Matrix, centre: NDArray[np.float64]) -> float:
        """The difference between the correlation and its mean over displaced alignments."""
        ring = [self.at(pull @ moved) for moved in _ring(centre)]
        return self.at(pull) - float(np.mean(ring))


def registration_quality(
    reference: Volume, template: Template, affine: Matrix, head_of_reference: Mask | None = None
) -> Quality:
    """The quality of the affine alignment of the template with the reference; its head mask may be given."""
    grid = isotropic_grid(template.head, VOXEL_MM)
    brain = resample_mask(template.brain, grid, np.eye(4))
    covered = field_of_view(reference, grid, affine)
    known = head_mask(reference) if head_of_reference is None else head_of_reference
    head = resample_mask(reference.with_data(known), grid, affine)
    head = ndimage.binary_dilation(head)  # in a skull-stripped scan, the head is the brain or smaller
    inside = brain & covered
    if inside.sum() < SMALLEST:
        return Quality(0.0, 0.0, 0.0, float(inside.sum() / brain.sum()))
    edges = edges_in_brain(reference, template)
    return Quality(
        edges.at(affine),
        edges.distinctness(affine, edges.points.mean(axis=0)),
        float(head[inside].mean()),
        float(inside.sum() / brain.sum()),
    )


def visible_trouble(reference: Volume, template: Template, affine: Matrix) -> str:
    """A visible problem of a scan whose alignment is poor, as a sentence; "" if there is none."""
    grid = isotropic_grid(template.head, VOXEL_MM)
    brain = resample_mask(template.brain, grid, np.eye(4)) & field_of_view(reference, grid, affine)
    head = head_mask(reference)
    signal = float(np.median(reference.data[head])) if head.any() else 0.0
    seen = resample(reference, grid, affine, order=1).data
    black = float((seen[brain] <= BLACK * signal).mean()) if brain.any() else 0.0
    around = ~dilated(head, reference.zooms_mm, AIR_MM)
    if black > BLACK_LIMIT:
        return f"{100 * black:.0f} % of the expected position of the brain is black: part of the image is missing."
    if (empty := _black_slices(reference.data, BLACK * signal)) > BLACK_SLICES_LIMIT:
        return f"{100 * empty:.0f} % of the slices in one direction are black: part of the image is missing."
    span = float((reference.zooms_mm * reference.shape).min())
    if span < SPAN_MM:
        return f"The image spans only {span:.0f} mm in one direction: part of the brain is missing."
    if around.sum() < SMALLEST:
        return "The head cannot be distinguished from the air: probably noise, or a tightly cropped image."
    return _trouble_in_air(reference, around & ~ndimage.binary_dilation(blank_mask(reference.data)), signal)


def _trouble_in_air(reference: Volume, air: Mask, signal: float) -> str:
    if air.sum() < SMALLEST:
        return ""
    if (level := float(reference.data[air].mean())) > AIR_LIMIT * signal:
        return f"The air has {100 * level / signal:.0f} % of the head's intensity: probably noise."
    uneven = unevenness(reference.data, air, signal, reference.zooms_mm)
    return "" if uneven is None or uneven <= UNEVEN_LIMIT else "The air is uneven: probably motion or ghosts."


def coregistration_quality(moving: Volume, reference: Volume, pull: Matrix) -> tuple[float, float]:
    """Mutual information (nats) of two contrasts, and its ratio to the mean over displaced alignments, minus 1.

    Edges are unsuitable here, because the strongest ones of one contrast may be missing in the other.
    """
    fixed, other = shrink(reference, INFORMATION_MM), shrink(moving, INFORMATION_MM)
    comparison = compare(fixed, head_mask(fixed), other, limit=INFORMATION_POINTS, moving_mask=head_mask(other))
    if not len(comparison.points):
        return 0.0, 0.0
    ring = [comparison.score(pull @ moved) for moved in _ring(comparison.points.mean(axis=0))]
    found = comparison.score(pull)
    return found, found / max(float(np.mean(ring)), 1e-6) - 1


def edges_in_brain(reference: Volume, template: Template) -> EdgeComparison:
    """A comparison of the reference's edges with those in the template's brain, away from the ventricles.

    Ventricles grow with age and disease, which an affine transform cannot correct.
    """
    grid = isotropic_grid(template.head, VOXEL_MM)
    fixed = resample(template.head, grid, np.eye(4), order=1)
    near = dilated(ventricles(template), template.head.zooms_mm, VENTRICLES_MM)
    apart = template.brain.with_data(template.brain.data * ~near)
    index = np.argwhere(resample_mask(apart, grid, np.eye(4)))
    points = apply(fixed.affine, index)
    return EdgeComparison(points, edges_of(fixed).data[tuple(index.T)], edges_of(shrink(reference, VOXEL_MM)))


def edges_of(image: Volume) -> Volume:
    """Gradient magnitude at a scale of EDGE_SIGMA_MM; negative (unknown) at the borders of the image."""
    along = [
        ndimage.gaussian_filter(image.data, EDGE_SIGMA_MM / image.zooms_mm, order=[int(a == axis) for a in range(3)])
        / image.zooms_mm[axis]
        for axis in range(3)
    ]
    magnitude = np.sqrt(sum(np.square(part) for part in along))
    width = np.ceil(EDGE_SIGMA_MM / image.zooms_mm).astype(int)
    inner = tuple(slice(int(w), -int(w)) for w in width)
    out = np.full(image.shape, -100.0, np.float32)
    out[inner] = magnitude[inner]
    return image.with_data(out)


def _ring(centre: NDArray[np.float64]) -> list[Matrix]:
    """Twelve displacements: a shift along and a rotation about each axis, in both directions."""
    steps = [sign * np.eye(3)[axis] for axis in range(3) for sign in (-1.0, 1.0)]
    shifts = [similarity_matrix(np.zeros(3), RING_MM * step, 0.0, centre) for step in steps]
    return shifts + [similarity_matrix(RING_RADIANS * step, np.zeros(3), 0.0, centre) for step in steps]


def _black_slices(image: Array, dark: float) -> float:
    """The fraction of slices in which nothing is brighter than ``dark``, in the direction with the most of them."""
    others = [tuple(other for other in range(3) if other != axis) for axis in range(3)]
    return max(float((image.max(axis=across) <= dark).mean()) for across in others)
