"""Masks of the template in the space of the subject: brain, white-matter core and other tissues."""

import numpy as np

from haca3_bids.arrays import Mask
from haca3_bids.preprocessing.head import eroded
from haca3_bids.preprocessing.registration import TemplateAlignment, register_to_template
from haca3_bids.preprocessing.resampling import resample_mask
from haca3_bids.preprocessing.template import Template
from haca3_bids.preprocessing.tissues import grey_matter, ventricles
from haca3_bids.preprocessing.transforms import Matrix, inverse
from haca3_bids.settings import PreprocessingSettings
from haca3_bids.volumes.volume import Volume

CERTAIN = 0.8  # probability above which a voxel of the template counts as white matter
CORE_MM = (2.0, 1.0, 0.0)  # depth of the core; the first that leaves ENOUGH voxels is used
ENOUGH = 20_000  # voxels (mm³)


def brain_on_template_grid(template: Template, alignment: TemplateAlignment) -> Mask:
    """The template's brain, affinely aligned with the subject's, on the template grid (subject aligned rigidly)."""
    return resample_mask(template.brain, template.head, prior_pull(alignment))


def white_matter_core(template: Template, alignment: TemplateAlignment) -> Mask:
    """White matter away from its borders, on the template grid, in which the white-matter peak is measured."""
    white = resample_mask(template.white_matter, template.head, prior_pull(alignment), threshold=CERTAIN)
    for depth_mm in CORE_MM:
        core = eroded(white, template.head.zooms_mm, depth_mm) if depth_mm else white
        if core.sum() >= ENOUGH:
            break
    return core


def tissue_regions(template: Template, alignment: TemplateAlignment) -> dict[str, Mask]:
    """``grey`` and ``fluid`` (ventricles) of the template, on the template grid (subject aligned rigidly)."""
    pull = prior_pull(alignment)
    masks = {"grey": grey_matter(template), "fluid": ventricles(template)}
    return {
        name: resample_mask(template.head.with_data(mask), template.head, pull, threshold=0.7)
        for name, mask in masks.items()
    }


def prior_pull(alignment: TemplateAlignment) -> Matrix:
    """The matrix that pulls points of the template grid (subject aligned rigidly) to points of the template."""
    return inverse(alignment.affine) @ alignment.rigid


def regions_of_aligned(image: Volume, template: Template, settings: PreprocessingSettings) -> tuple[Mask, Mask]:
    """Brain and ventricles of an image that already lies on the template grid, as preprocessed ones do.

    The template is stretched to the image, by the same search as for a scan; a refinement alone finds no small head.
    The masks say where to look, not where the tissue ends.
    """
    alignment = TemplateAlignment(np.eye(4), register_to_template(image, template, settings).affine)
    return brain_on_template_grid(template, alignment), tissue_regions(template, alignment)["fluid"]
