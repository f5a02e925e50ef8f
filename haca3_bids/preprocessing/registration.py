"""Rigid registration: the session's reference to the template, its other contrasts to the reference, and back.

The template is stretched to the subject. Only the rigid part of this transform moves the images, which keep their size.
Brains differ in shape from the template, and a similarity transform compensates by a rotation that depends on the
contrast. An affine transform follows the shape but is poorly determined if a scan shows little. The images are
therefore moved to a position between the two, closer to the affine one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from haca3_bids.arrays import Mask
from haca3_bids.preprocessing.bias import correct_bias
from haca3_bids.preprocessing.head import dilated, head_mask
from haca3_bids.preprocessing.quality import edges_in_brain
from haca3_bids.preprocessing.refinement import refined
from haca3_bids.preprocessing.resampling import field_of_view, isotropic_grid, resample, resample_mask, shrink
from haca3_bids.preprocessing.search import CHILD_LOG_SCALE, LOG_SCALES, Start, best, improved, rotation_grid, starts
from haca3_bids.preprocessing.similarity import Comparison, compare
from haca3_bids.preprocessing.stripping import looks_stripped
from haca3_bids.preprocessing.template import Template
from haca3_bids.preprocessing.transforms import Matrix, displacement_mm, inverse, mean_rigid, rigid_part, scales
from haca3_bids.settings import PreprocessingSettings
from haca3_bids.volumes.volume import Volume

COARSE_MM = 6.0  # voxels of the search over all starts
MIDDLE_MM = 4.0  # voxels on which the best starts are compared
FINE_MM = 2.0  # voxels of the refinement
COARSE_POINTS, MIDDLE_POINTS = 6000, 25000
AIR_MM = 12.0  # rim of air around the template's head that is used in the search
BRAIN_RIM_MM = 6.0  # rim around the brain that is used in the refinement: CSF and the inner skull
STRIPPED_RIM_MM = 3.0  # the same for a scan without skull: the fluid that brain masks often contain
SKULL_MM = 5.0  # around the brain: always part of the head
BEYOND_MM = (3.0, 12.0)  # from the template's head: a rim of air that a head of this size does not reach
SCALE_RANGE = (0.6, 1.4)  # of plausible affine scales, including small children
SHAPE_MM = 2.0  # displacement of the brain's centre above which an affine transform is poorly determined
AFFINE_SHARE = 0.7  # weight of the rigid part of the affine transform; the rest is that of the similarity
RESIDUE = 1e-4  # of an image's maximum: less is left by the interpolation, not signal


@dataclass(frozen=True)
class TemplateAlignment:
    """Matrices that pull template millimetres to reference millimetres."""

    rigid: Matrix  # moves the images
    affine: Matrix  # aligns the template's brain and white matter with the subject's


def register_to_template(
    reference: Volume, template: Template, settings: PreprocessingSettings, brain: Mask | None = None
) -> TemplateAlignment:
    """The alignment of the template with the reference, from any position within about 75 degrees.

    If the ``brain`` of the reference is given, the search uses only that.
    """
    centre = centre_of(template.brain, template.brain.data > 0.5)
    rim_mm = BRAIN_RIM_MM if template.has_skull else 0.0
    if brain is None:
        start = _search_template(reference, template, centre, settings).pull
        if template.has_skull and _is_stripped(reference, template, start):
            template, rim_mm = template.without_skull(STRIPPED_RIM_MM), STRIPPED_RIM_MM
            start = _search_template(reference, template, centre, settings).pull
    else:
        alone = reference.with_data(reference.data * brain)
        start = _search_template(alone, template.without_skull(), centre, settings).pull
    if not settings.sloppy:
        reference = _even(reference, template, start, settings, brain)
    similarity = _refined_in_brain(reference, template, start, "Similarity", settings, rim_mm)
    affine = _refined_in_brain(reference, template, similarity, "Affine", settings, rim_mm)
    both = [rigid_part(similarity, centre), rigid_part(affine, centre)]
    if displacement_mm(inverse(both[0]) @ both[1], centre) > SHAPE_MM:
        return TemplateAlignment(both[0], similarity)
    return TemplateAlignment(mean_rigid(both, centre, (1 - AFFINE_SHARE, AFFINE_SHARE)), affine)


def align_prior(
    reference: Volume, template: Template, given: Matrix, settings: PreprocessingSettings
) -> TemplateAlignment:
    """The alignment with a given rigid transform: only the affine one is estimated."""
    rim_mm = BRAIN_RIM_MM if template.has_skull else 0.0
    return TemplateAlignment(given, _refined_in_brain(reference, template, given, "Affine", settings, rim_mm))


def coregister(moving: Volume, reference: Volume, settings: PreprocessingSettings) -> Matrix:
    """The rigid matrix that pulls reference millimetres to millimetres of another contrast of the session.

    The scanner's coordinates are one start; others are needed if the headers do not agree.
    """
    head = head_mask(reference)
    centre = centre_of(reference, head)
    coarse = _comparison(reference, head, 0.0, moving, COARSE_MM, COARSE_POINTS)
    middle = _comparison(reference, head, 0.0, moving, MIDDLE_MM, MIDDLE_POINTS)
    as_scanned = Start(np.zeros(7), centre)
    others = list(starts(rotation_grid(40.0, 20.0), centre, _centres(moving)))
    kept = [as_scanned, *best([as_scanned, *others], coarse.score, 2 if settings.sloppy else 5)]
    tuned = [improved(start, coarse, scaled=False, step_mm=5.0, evaluations=250) for start in kept]
    kept = best(tuned, middle.score, 2, 5.0)
    tuned = [improved(start, middle, scaled=False, step_mm=2.0, evaluations=200) for start in kept]
    start = best(tuned, middle.score, 1)[0]
    grid = isotropic_grid(reference, FINE_MM)
    fixed = resample(reference, grid, np.eye(4), order=1)
    mask = resample_mask(reference.with_data(head), grid, np.eye(4))
    found = refined(fixed, mask, shrink(moving, FINE_MM), start.pull, "Rigid", settings)
    return rigid_part(found, centre)


def resample_to_native(image_on_template: Volume, native_reference: Volume, to_template: Matrix) -> Volume:
    """An image on the template grid, resampled to the reference's own grid by the inverse of ``to_template``.

    Zero stays zero: traces of the interpolation in the air (less than RESIDUE of the maximum) are removed.
    """
    image = resample(image_on_template, native_reference, inverse(to_template))
    return image.with_data(np.where(np.abs(image.data) < RESIDUE * image.data.max(), np.float32(0), image.data))


def centre_of(volume: Volume, mask: Mask) -> NDArray[np.float64]:
    """Centre of mass of a mask, in millimetres, shape (3,)."""
    voxel = np.asarray(ndimage.center_of_mass(mask) if mask.any() else (np.asarray(mask.shape) - 1) / 2)
    return np.asarray(volume.affine[:3, :3] @ voxel + volume.affine[:3, 3])


def _search_template(
    reference: Volume, template: Template, centre: NDArray[np.float64], settings: PreprocessingSettings
) -> Start:
    brain = template.brain.data > 0.5
    wide, near = (head_mask(template.head), AIR_MM), (brain, BRAIN_RIM_MM)
    if not template.has_skull:  # so that skull and scalp of the scan have no influence
        wide = near = (brain, 0.0)
    coarse = _comparison(template.head, *wide, reference, COARSE_MM, COARSE_POINTS)
    middle = _comparison(template.head, *near, reference, MIDDLE_MM, MIDDLE_POINTS)

    def both(pull: Matrix) -> float:  # a large rotated head can match the outline of a brain, but not that of a head
        return coarse.score(pull) + middle.score(pull)

    rotations = rotation_grid(50.0, 25.0) if settings.sloppy else rotation_grid(75.0, 25.0)
    candidates = list(starts(rotations, centre, _centres(reference), LOG_SCALES))
    kept = best(candidates, coarse.score, 6 if settings.sloppy else 12)
    tuned = [improved(start, coarse, scaled=True, step_mm=8.0, evaluations=300) for start in kept]
    kept = best(tuned, both, 2 if settings.sloppy else 3, 8.0)
    place = best([improved(start, middle, scaled=True, step_mm=3.0, evaluations=300) for start in kept], both, 1)[0]
    return _right_size(place, middle, reference, template)


def _right_size(place: Start, comparison: Comparison, reference: Volume, template: Template) -> Start:
    """The best of three scales, the one found and two of a child's head, by edges and by the overlap of the heads.

    Mutual information can match the outline of a small head with that of a large brain, and edges can match a small
    brain with one that has shrunk within its skull. For the position, mutual information is more reliable than edges.
    """
    child = Start(np.array([*place.parameters[:6], CHILD_LOG_SCALE]), place.centre)
    small = improved(child, comparison, scaled=False, step_mm=8.0, evaluations=250)
    tuned = improved(small, comparison, scaled=True, step_mm=3.0, evaluations=300)
    edges = edges_in_brain(reference, template)
    grid, head = isotropic_grid(template.head, COARSE_MM / 2), reference.with_data(head_mask(reference))
    brain = resample_mask(template.brain, grid, np.eye(4))
    air = _air_about_the_head(template, grid, brain)
    brain = dilated(brain, grid.zooms_mm, SKULL_MM) if template.has_skull else brain

    def fitness(start: Start) -> float:
        covered, found = field_of_view(reference, grid, start.pull), resample_mask(head, grid, start.pull)
        within, beyond = (float(found[part & covered].mean() if (part & covered).any() else 0) for part in (brain, air))
        return edges.at(start.pull) + within - beyond

    return max((place, tuned, small), key=fitness)


def _air_about_the_head(template: Template, grid: Volume, brain: Mask) -> Mask:
    """A rim of air beside and above the template's head, on ``grid``; empty if the template has no skull."""
    if not template.has_skull:
        return np.zeros_like(brain)
    head = resample_mask(template.head.with_data(head_mask(template.head)), grid, np.eye(4))
    near, far = (dilated(head, grid.zooms_mm, rim) for rim in BEYOND_MM)
    heights = grid.affine[2, 2] * np.arange(grid.shape[2])  # a template's third axis is the body's
    lowest = heights[brain.any(axis=(0, 1))].min()
    return np.asarray(far & ~near & (heights >= lowest))


def _is_stripped(reference: Volume, template: Template, pull: Matrix) -> bool:
    grid = isotropic_grid(template.head, COARSE_MM / 2)
    brain = resample_mask(template.brain, grid, np.eye(4))
    return looks_stripped(resample(reference, grid, pull, order=1), brain, field_of_view(reference, grid, pull))


def _refined_in_brain(
    reference: Volume, template: Template, start: Matrix, kind: str, settings: PreprocessingSettings, rim_mm: float
) -> Matrix:
    """ANTs' refinement within a rim around the template's brain; ``start`` if the scales become implausible."""
    grid = isotropic_grid(template.head, FINE_MM)
    fixed = resample(template.head, grid, np.eye(4), order=1)
    brain = resample_mask(template.brain, grid, np.eye(4))
    mask = dilated(brain, grid.zooms_mm, rim_mm) if rim_mm else brain
    found = refined(fixed, mask, shrink(reference, FINE_MM), start, kind, settings)
    factors = scales(found)  # slabs leave an axis undetermined
    return found if SCALE_RANGE[0] < factors.min() and factors.max() < SCALE_RANGE[1] else start


def _even(
    reference: Volume, template: Template, pull: Matrix, settings: PreprocessingSettings, brain: Mask | None
) -> Volume:
    """The reference with its bias corrected inside the brain; the first correction used the whole head.

    A slope of intensities in the brain would displace the maximum of mutual information.
    """
    found = resample_mask(template.brain, reference, inverse(pull)) if brain is None else brain
    return correct_bias(reference, settings, found)


def _comparison(fixed: Volume, mask: Mask, rim_mm: float, moving: Volume, voxel_mm: float, points: int) -> Comparison:
    """Coarse copies of both images compared within ``rim_mm`` of the mask."""
    small = shrink(fixed, voxel_mm)
    small_mask = shrink(fixed.with_data(mask), voxel_mm).data >= 0.5
    if rim_mm:
        small_mask = dilated(small_mask, small.zooms_mm, rim_mm)
    coarse = shrink(moving, voxel_mm)
    smooth = coarse.with_data(ndimage.gaussian_filter(coarse.data, 0.5 * voxel_mm / coarse.zooms_mm))
    return compare(small, small_mask, smooth, limit=points, moving_mask=head_mask(coarse))


def _centres(moving: Volume) -> list[NDArray[np.float64]]:
    """Candidates for the centre of the head: centre of mass and centre of the bounding box of the head mask."""
    coarse = shrink(moving, COARSE_MM)
    mask = head_mask(coarse)
    where = np.argwhere(mask) if mask.any() else np.argwhere(np.ones_like(mask))
    middle = (where.min(axis=0) + where.max(axis=0)) / 2.0
    return [centre_of(coarse, mask), np.asarray(coarse.affine[:3, :3] @ middle + coarse.affine[:3, 3])]
