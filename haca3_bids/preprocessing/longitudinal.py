"""One frame for all visits of a subject, midway between them, so that no visit is the reference of another.

If only one time point is processed, for example interpolated, this appears as a change (Reuter et al. 2012). Two visits
are aligned halfway between them; more visits are registered to their mean image.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from haca3_bids.arrays import Mask
from haca3_bids.preprocessing.head import dilated, head_mask
from haca3_bids.preprocessing.mirrored import exchanged_sides
from haca3_bids.preprocessing.quality import COREGISTRATION_LIMIT, coregistration_quality
from haca3_bids.preprocessing.refinement import refined
from haca3_bids.preprocessing.registration import (
    BRAIN_RIM_MM,
    FINE_MM,
    TemplateAlignment,
    centre_of,
    coregister,
    register_to_template,
)
from haca3_bids.preprocessing.resampling import field_of_view, resample, resample_mask, shrink
from haca3_bids.preprocessing.template import Template
from haca3_bids.preprocessing.transforms import Matrix, inverse, mean_rigid, rigid_part
from haca3_bids.settings import PreprocessingSettings
from haca3_bids.volumes.box import bounding_box, cropped
from haca3_bids.volumes.volume import Volume

ROUNDS = 2  # of mean image and registration to it, for more than two visits
GRID = 128  # voxels of 2 mm per side: enough for a head in any orientation
HALF = 0.5  # fraction of the visits that must cover a voxel of the mean image


@dataclass(frozen=True)
class Frame:
    """The position of every visit: matrices that pull millimetres of the frame to those of a visit's reference."""

    pulls: Mapping[str, Matrix]
    image: Volume  # mean of the visits in the frame
    alignment: TemplateAlignment  # pulls template millimetres to the frame's
    problem: str = ""  # of the visits, if the settings accept it

    def place(self, visit: str) -> TemplateAlignment:
        """The position of the template in one visit's reference."""
        pull = self.pulls[visit]
        return TemplateAlignment(pull @ self.alignment.rigid, pull @ self.alignment.affine)

    def head(self, template: Template) -> Mask:
        """The head of the mean image on the template grid, to which all visits are cropped."""
        mask = self.image.with_data(head_mask(self.image))
        return resample_mask(mask, template.head, self.alignment.rigid)


def common_frame(references: Mapping[str, Volume], template: Template, settings: PreprocessingSettings) -> Frame:
    """The frame of one or several visits, from coarse copies of their references; independent of their order.

    Raises BadInput if left and right are exchanged in one of them, unless the settings accept poor registrations.
    """
    first, *others = sorted(references)
    guess = {visit: coregister(references[visit], references[first], settings) for visit in others}
    problem = "" if settings.sloppy else _exchanged(references, first, guess, settings)
    pulls = _middle(references, {first: np.eye(4), **guess})
    for _ in range(ROUNDS if len(references) > 2 else 0):
        image = mean_image(references, pulls)
        mask = head_mask(image)
        pulls = _middle(references, _registered_to(image, mask, references, pulls, settings))
    image = mean_image(references, pulls)
    alignment = register_to_template(image, template, settings)
    brain = resample_mask(template.brain, image, inverse(alignment.affine))
    mask = dilated(brain, image.zooms_mm, BRAIN_RIM_MM)
    if len(references) == 2:
        pulls = _middle(references, _registered_to_each_other(mask, image, references, pulls, settings))
    elif len(references) > 2:  # necks and jaws move, so the last registration uses the brain only
        pulls = _middle(references, _registered_to(image, mask, references, pulls, settings))
    return Frame(pulls, mean_image(references, pulls), alignment, problem)


def _exchanged(
    references: Mapping[str, Volume], first: str, pulls: Mapping[str, Matrix], settings: PreprocessingSettings
) -> str:
    """What is said of a visit whose left and right are exchanged; BadInput unless the settings accept it.

    A visit that is not registered says nothing about its sides. It fails later, by itself.
    """
    for visit, pull in pulls.items():
        if coregistration_quality(references[visit], references[first], pull)[1] < COREGISTRATION_LIMIT:
            continue
        wrong = exchanged_sides(f"The scans of {first} and {visit}", references[visit], references[first], pull)
        if wrong is not None and "registration" not in settings.force:
            raise wrong
        if wrong is not None:
            return wrong.sentence
    return ""


def mean_image(references: Mapping[str, Volume], pulls: Mapping[str, Matrix]) -> Volume:
    """The mean of the visits in the frame, each divided by its mean in the head, cropped to where most have data."""
    grid = _grid(references, pulls)
    total, count = np.zeros(grid.shape, np.float32), np.zeros(grid.shape, np.float32)
    for visit, reference in references.items():
        unit = float(reference.data[head_mask(reference)].mean())
        total += resample(reference, grid, pulls[visit], order=1).data / np.float32(max(unit, 1e-6))
        count += field_of_view(reference, grid, pulls[visit])
    known = bounding_box(count >= HALF * len(references))  # so that the edge is an edge of the image, not a dark region
    return cropped(grid.with_data(total / np.maximum(count, 1)), known)


def _middle(references: Mapping[str, Volume], pulls: Mapping[str, Matrix]) -> dict[str, Matrix]:
    """The same alignment with the frame in the middle, so that the mean displacement of the visits is zero."""
    first = min(references)
    head = centre_of(references[first], head_mask(references[first]))
    centre = (inverse(pulls[first]) @ [*head, 1.0])[:3]
    change = inverse(mean_rigid([pulls[visit] for visit in sorted(pulls)], centre))
    return {visit: rigid_part(pull @ change, np.zeros(3)) for visit, pull in pulls.items()}


def _registered_to(
    image: Volume,
    mask: Mask,
    references: Mapping[str, Volume],
    pulls: Mapping[str, Matrix],
    settings: PreprocessingSettings,
) -> dict[str, Matrix]:
    return {
        visit: refined(image, mask, shrink(reference, FINE_MM), pulls[visit], "Rigid", settings)
        for visit, reference in references.items()
    }


def _registered_to_each_other(
    mask: Mask,
    grid: Volume,
    references: Mapping[str, Volume],
    pulls: Mapping[str, Matrix],
    settings: PreprocessingSettings,
) -> dict[str, Matrix]:
    """The mean of two registrations in the brain, each with another visit as the fixed image."""
    one, other = sorted(references)
    seen = {visit: resample(references[visit], grid, pulls[visit], order=1) for visit in (one, other)}
    forth = refined(seen[one], mask, shrink(references[other], FINE_MM), pulls[other], "Rigid", settings)
    back = refined(seen[other], mask, shrink(references[one], FINE_MM), pulls[one], "Rigid", settings)
    answers = [forth, pulls[other] @ inverse(back) @ pulls[one]]  # of the second visit, with the first one fixed
    return {one: pulls[one], other: mean_rigid(answers, centre_of(grid, mask))}


def _grid(references: Mapping[str, Volume], pulls: Mapping[str, Matrix]) -> Volume:
    """A grid of 2 mm centred on the visits' heads, along the axes of the frame."""
    centres = [
        (inverse(pulls[visit]) @ [*centre_of(reference, head_mask(reference)), 1.0])[:3]
        for visit, reference in references.items()
    ]
    affine = np.diag([FINE_MM, FINE_MM, FINE_MM, 1.0])
    affine[:3, 3] = np.mean(centres, axis=0) - FINE_MM * (GRID - 1) / 2
    return Volume(np.zeros((GRID,) * 3, np.float32), affine)
