"""The preprocessing steps of a session, as the nodes call them: volumes and matrices in and out."""

from dataclasses import dataclass, replace

import numpy as np

from haca3_bids.arrays import Mask
from haca3_bids.errors import BadInput
from haca3_bids.intensity.blank import blank_mask
from haca3_bids.intensity.percentile import estimated_coverage
from haca3_bids.intensity.white_matter import white_matter_peak
from haca3_bids.preprocessing.bias import correct_bias, log_field, without_field
from haca3_bids.preprocessing.defacing import looks_defaced, without_face
from haca3_bids.preprocessing.head import head_mask
from haca3_bids.preprocessing.mirrored import exchanged_sides
from haca3_bids.preprocessing.prior import prior_pull
from haca3_bids.preprocessing.quality import (
    COREGISTRATION_LIMIT,
    Quality,
    coregistration_quality,
    registration_quality,
    visible_trouble,
)
from haca3_bids.preprocessing.registration import (
    FINE_MM,
    TemplateAlignment,
    align_prior,
    centre_of,
    coregister,
    register_to_template,
)
from haca3_bids.preprocessing.resampling import field_of_view, resample, resample_mask, shrink
from haca3_bids.preprocessing.template import Template
from haca3_bids.preprocessing.transforms import Matrix, displacement_mm, inverse, rigid_part, rotation_deg
from haca3_bids.preprocessing.uncertainty import uncertainty
from haca3_bids.records.preprocessing import Registration, ScanFacts
from haca3_bids.settings import WHITE_MATTER_PEAK, PreprocessingSettings
from haca3_bids.volumes.box import bounding_box, cropped
from haca3_bids.volumes.volume import Volume

# Limits below which a session fails. Correct alignments of most simulated heads have a similarity of at least 0.30 and
# a distinctness of at least 0.14, by which positions wrong by 15 mm or 20 degrees are recognized. Heads with wide sulci
# have a lower similarity, but are distinct.
SIMILARITY_LIMIT = 0.25  # of edges away from the ventricles
DISTINCTNESS_LIMIT = 0.14  # difference of the similarity to its mean over displaced alignments
WEAK_SIMILARITY_LIMIT, WEAK_DISTINCTNESS_LIMIT = 0.15, 0.16  # a lower similarity is accepted if distinctness is higher
SPLINE_ORDER, SLOPPY_ORDER = 3, 1  # of the interpolation on the template grid
CUT_AREA = 0.5  # of the largest plane: the first plane of a head is smaller, also in thick slices without skull
IN_HEAD_LIMIT = 0.90  # fraction of the template's brain in the head
COVERED_LIMIT = 0.25  # fraction of the template's brain in the field of view of the reference


@dataclass(frozen=True)
class KnownMasks:
    """Head and brain of the reference from earlier derivatives."""

    head: Volume | None = None
    brain: Volume | None = None

    def on(self, grid: Volume) -> tuple[Mask | None, Mask | None]:
        """Both on a grid of the same space."""
        masks = (None if mask is None else resample_mask(mask, grid, np.eye(4)) for mask in (self.head, self.brain))
        head, brain = masks
        return head, brain


def for_registration(raw: Volume, settings: PreprocessingSettings) -> Volume:
    """A copy with voxels of about 2 mm and a rough bias correction."""
    return correct_bias(shrink(raw, FINE_MM), settings)


def blank_voxels(raw: Volume) -> Volume:
    """Where a scan was given zeros instead of being measured (0 or 1), on the grid of ``for_registration``."""
    return (found := shrink(raw.with_data(blank_mask(raw.data)), FINE_MM)).with_data(found.data > 0)


def registered(
    reference: Volume,
    template: Template,
    settings: PreprocessingSettings,
    given: Matrix | None = None,
    known: KnownMasks | None = None,
) -> tuple[TemplateAlignment, Registration]:
    """The alignment of the template with the reference, and its quality.

    Raises BadInput if it is poor; if the settings accept it, ``problem`` describes it instead. With a ``given`` rigid
    transform, only the affine one is estimated. ``known`` are masks of the reference, on any grid of its own space.
    """
    head, brain = (known or KnownMasks()).on(reference)
    if given is None:
        alignment = register_to_template(reference, template, settings, brain)
    else:
        alignment = align_prior(reference, template, given, settings)
    return alignment, replace(judged(alignment, reference, template, settings, head), given=given is not None)


def judged(
    alignment: TemplateAlignment,
    reference: Volume,
    template: Template,
    settings: PreprocessingSettings,
    head: Mask | None = None,
) -> Registration:
    """The quality of an alignment; BadInput if it is poor, as in ``registered``."""
    quality = registration_quality(reference, template, alignment.affine, head)
    centre = centre_of(template.brain, template.brain.data > 0.5)
    poor = poor_registration(quality)
    if poor is not None and (seen := visible_trouble(reference, template, alignment.affine)):
        poor = BadInput(f"{poor.sentence} {seen}", poor.hint)
    problem = _accepted(poor, settings)
    error = uncertainty(reference, template, alignment.affine)
    apart = inverse(rigid_part(alignment.affine, centre)) @ alignment.rigid
    return Registration(
        similarity=quality.similarity,
        limit=SIMILARITY_LIMIT,
        distinctness=quality.distinctness,
        distinctness_limit=DISTINCTNESS_LIMIT,
        passed=not problem,
        problem=problem,
        brain_in_head=quality.brain_in_head,
        brain_covered=quality.brain_covered,
        uncertainty_mm=error.shift_mm,
        uncertainty_deg=error.turn_deg,
        rotation_deg=rotation_deg(alignment.rigid),
        translation_mm=displacement_mm(alignment.rigid, centre),
        rigid_shift_mm=displacement_mm(apart, centre),
        rigid_turn_deg=rotation_deg(apart),
    )


def coregistered(
    moving: Volume, reference: Volume, settings: PreprocessingSettings, contrast: str
) -> tuple[Matrix, ScanFacts]:
    """The rigid matrix from reference to another contrast, and its quality; BadInput as in ``registered``."""
    pull = coregister(moving, reference, settings)
    similarity, distinctness = coregistration_quality(moving, reference, pull)
    poor = None
    if distinctness < COREGISTRATION_LIMIT:
        poor = BadInput(
            f"The {contrast} could not be registered to the session's reference: their mutual information is "
            f"{1 + distinctness:.1f} times that of displaced positions ({1 + COREGISTRATION_LIMIT:.1f} are required).",
            "Inspect both scans. Exclude one (--modalities, --bids-filter-file), or use --force registration.",
        )
    elif not settings.sloppy:
        poor = exchanged_sides(f"The {contrast} and the session's reference", moving, reference, pull)
    return pull, ScanFacts(
        coregistration_similarity=similarity,
        coregistration_distinctness=distinctness,
        coregistration_problem=_accepted(poor, settings),
    )


def field_in_brain(
    raw: Volume,
    template: Template,
    alignment: TemplateAlignment,
    to_scan: Matrix,
    settings: PreprocessingSettings,
    given_brain: Volume | None = None,
) -> Volume:
    """The logarithm of a raw scan's bias field on a coarse grid; ``given_brain`` is on the reference's grid.

    ``to_scan`` pulls reference to scan millimetres.
    """
    brain, pull = (template.brain, to_scan @ alignment.affine) if given_brain is None else (given_brain, to_scan)
    return log_field(raw, settings, resample_mask(brain, raw, inverse(pull)))


def on_template_grid(
    raw: Volume, field: Volume, grid: Volume, pull: Matrix, settings: PreprocessingSettings
) -> tuple[Volume, Volume]:
    """The scan without bias, interpolated once, and its field of view (0 or 1), both on the template grid."""
    raw = without_padding(raw)
    image = resample(without_field(raw, field), grid, pull, order=spline_order(settings))
    return image, grid.with_data(field_of_view(raw, grid, pull))


def spline_order(settings: PreprocessingSettings) -> int:
    """The order of the B-splines with which scans are interpolated on the template grid."""
    return SLOPPY_ORDER if settings.sloppy else SPLINE_ORDER


def without_padding(raw: Volume) -> Volume:
    """The scan without empty slices beyond a plane in which the head is cut: a slab padded with zeros is a slab."""
    measured = estimated_coverage(raw.data, CUT_AREA)
    return raw if measured.all() else cropped(raw, bounding_box(measured))


def head(
    reference: Volume, covered: Mask, alignment: TemplateAlignment, known_head: Volume | None = None
) -> tuple[Mask, bool]:
    """The session's head mask, from its reference on the template grid, and whether the face has been removed.

    ``known_head`` is a mask in the reference's own space.
    """
    found = head_mask(reference) if known_head is None else resample_mask(known_head, reference, alignment.rigid)
    mask = found & covered
    return mask, looks_defaced(mask, covered, reference, inverse(prior_pull(alignment)))


def scaled(image: Volume, core: Mask, limit_to: Mask | None) -> tuple[Volume, float, float]:
    """The image with its white-matter peak at 1000, the peak before, and the measured peak after."""
    before = white_matter_peak(image.data, core)
    out = image.with_data(image.data * np.float32(WHITE_MATTER_PEAK / before))
    if limit_to is not None:
        out = without_face(out, limit_to)
    return out, before, white_matter_peak(out.data, core)


def cut_share(native: Volume, grid: Volume, rigid: Matrix) -> float:
    """The fraction of the reference's head outside the template grid, mostly neck."""
    head = head_mask(native)
    inside = field_of_view(grid, native, inverse(rigid))
    return float((head & ~inside).sum() / max(int(head.sum()), 1))


def _accepted(poor: BadInput | None, settings: PreprocessingSettings) -> str:
    """The sentence of an error that the settings accept; "" without an error. Raises other errors."""
    if poor is None:
        return ""
    if "registration" not in settings.force:
        raise poor
    return poor.sentence


def has_matching_edges(quality: Quality) -> bool:
    """Whether the edges of a reference match those of the template in this position, and not in displaced ones."""
    if quality.similarity < SIMILARITY_LIMIT:
        return quality.similarity >= WEAK_SIMILARITY_LIMIT and quality.distinctness >= WEAK_DISTINCTNESS_LIMIT
    return quality.distinctness >= DISTINCTNESS_LIMIT


def poor_registration(quality: Quality) -> BadInput | None:
    """The error of a poor alignment with the template; None for a good one."""
    if quality.brain_covered < COVERED_LIMIT:
        wrong = (
            f"the scan covers {100 * quality.brain_covered:.0f} % of the template's brain; at least "
            f"{100 * COVERED_LIMIT:.0f} % are required"
        )
    elif quality.brain_in_head < IN_HEAD_LIMIT:
        wrong = (
            f"{100 * quality.brain_in_head:.0f} % of the template's brain lie in the head; at least "
            f"{100 * IN_HEAD_LIMIT:.0f} % are required"
        )
    elif not has_matching_edges(quality):
        wrong = (
            f"the correlation of edges is {quality.similarity:.2f}, which is {quality.distinctness:.3f} more than in "
            f"displaced positions (required: {SIMILARITY_LIMIT} and {DISTINCTNESS_LIMIT}, or {WEAK_SIMILARITY_LIMIT} "
            f"and {WEAK_DISTINCTNESS_LIMIT})"
        )
    else:
        return None
    return BadInput(
        f"The registration to the template failed: {wrong}.",
        "Inspect the scan: is it an upright head that includes the brain? Exclude it with --bids-filter-file, or "
        "continue with --force registration.",
    )
