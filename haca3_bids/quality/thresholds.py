"""The limits of the quality numbers: one table for verdicts, reports and documentation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from haca3_bids.errors import UsageError

if TYPE_CHECKING:  # the command line imports this module and must start quickly
    from haca3_bids.records.session import Change

PASS, LOOK, FAIL = "pass", "look", "fail"
GRADES = (PASS, LOOK, FAIL)  # from good to bad


@dataclass(frozen=True)
class Threshold:
    """Limits of one measure (None: no limit); ``above`` states whether values above or below a limit are bad."""

    measure: str
    place: str  # "session", "scan" or "image"
    above: bool
    look: float | None
    fail: float | None
    words: str  # the problem if a limit is crossed
    meaning: str  # definition of the measure

    def grade(self, value: float | None) -> tuple[str, float | None]:
        """The grade of a value and the limit that it crossed; an unknown value passes."""
        if value is None:
            return PASS, None
        for grade, limit in ((FAIL, self.fail), (LOOK, self.look)):
            if limit is not None and (value > limit if self.above else value < limit):
                return grade, limit
        return PASS, None


BELOW, ABOVE = False, True
THRESHOLDS: Mapping[str, Threshold] = {
    threshold.measure: threshold
    for threshold in (
        Threshold("registration_similarity", "session", BELOW, 0.30, 0.15, "poorly registered to the template",
                  "correlation of edges of the reference and the template, away from the ventricles"),
        Threshold("registration_distinctness", "session", BELOW, 0.15, 0.14, "poorly registered to the template",
                  "difference between that correlation and its mean in displaced positions"),
        Threshold("registration_uncertainty_deg", "session", ABOVE, 1.55, None, "rotation poorly determined",
                  "standard error (degrees) of the rotation from the reference to the template"),
        Threshold("registration_rotation_deg", "session", ABOVE, 90.0, None,
                  "the head is not upright according to its header, so that left and right are uncertain",
                  "rotation (degrees) from the template to the reference"),
        Threshold("brain_in_head", "session", BELOW, 0.97, 0.90, "the template's brain lies partly outside the head",
                  "fraction of the template's brain that lies in the head"),
        Threshold("brain_covered", "session", BELOW, 0.95, 0.60, "part of the brain is outside the field of view",
                  "fraction of the template's brain in the reference's field of view"),
        Threshold("rigid_shift_mm", "session", ABOVE, 5.0, 10.0, "the rigid transform is displaced from the affine one",
                  "distance between the brain's centre under the rigid transform and under the affine one"),
        Threshold("rigid_turn_deg", "session", ABOVE, 7.0, 12.0, "the rigid transform is rotated from the affine one",
                  "rotation between the rigid transform and the affine one"),
        Threshold("coregistration_similarity", "scan", BELOW, None, None, "poorly registered to the reference",
                  "mutual information (nats) of the scan and the session's reference"),
        Threshold("coregistration_distinctness", "scan", BELOW, 1.0, 0.8, "poorly registered to the reference",
                  "ratio of that mutual information to its mean in displaced positions, minus 1"),
        Threshold("orientation_assumed", "scan", ABOVE, 0, None, "its header does not define left and right",
                  "1 if --force orientation accepted an invalid header; else absent"),
        Threshold("brain_seen", "scan", BELOW, 0.93, 0.70, "part of the brain is not visible",
                  "fraction of the template's brain that is in the field of view and shows a signal"),
        Threshold("head_imputed", "scan", ABOVE, None, None, "much of the head was not scanned",
                  "fraction of the head outside the scan's field of view, inferred from other sources"),
        Threshold("white_matter_spread", "scan", ABOVE, 0.30, None, "white matter is not uniform",
                  "robust standard deviation of the white-matter core, on the narrower side of its peak"),
        Threshold("noise", "scan", ABOVE, 0.09, 0.20, "noisy",
                  "robust standard deviation of fine detail in the white-matter core, relative to its peak"),
        Threshold("ghosts", "scan", ABOVE, 0.03, 0.10, "ghosts or ringing in the air: probably motion",
                  "unevenness of the air beside and above the head after smoothing, relative to the white-matter peak"),
        Threshold("air_unevenness", "scan", ABOVE, 0.05, 0.40, "the air is uneven: probably motion or ghosts",
                  "unevenness of the air after averaging the noise, relative to its mean in a larger neighbourhood"),
        Threshold("air", "scan", ABOVE, 0.10, 0.30, "the air is not dark: probably noise, or the UNI image of MP2RAGE",
                  "mean of the air beside and above the head, relative to the white-matter peak"),
        Threshold("entropy_focus", "scan", ABOVE, None, None, "blurred or ghosted",
                  "entropy focus criterion of the head's box"),
        Threshold("joint_variation", "scan", ABOVE, None, None, "white and grey matter overlap",
                  "coefficient of joint variation of white and grey matter"),
        Threshold("sharpness", "scan", BELOW, None, None, "blurred",
                  "mean of the steepest tenth of the gradients in the brain, per millimetre"),
        Threshold("grey_to_white", "scan", ABOVE, None, None, "grey matter is unusual",
                  "median of grey matter relative to the white-matter peak"),
        Threshold("fluid_to_white", "scan", ABOVE, None, None, "fluid is unusual",
                  "median of the ventricles relative to the white-matter peak"),
        Threshold("name_margin", "scan", BELOW, -0.5, -1.0, "the image does not match the contrast in its name",
                  "distance to the nearest other contrast minus the distance to the contrast of the name"),
        Threshold("ssim", "image", BELOW, 0.50, None, "structure may have changed",
                  "mean structural similarity to the session's own image of that contrast, in the brain that it shows"),
        Threshold("theta_distance_before", "image", ABOVE, None, None, "far from its target before harmonization",
                  "distance in theta from the session's own image of that contrast to the target (tables of "
                  "tissues: root mean square of log differences)"),
        Threshold("theta_distance_after", "image", ABOVE, None, None, "far from its target",
                  "distance in theta from the harmonized image to the target (tables of tissues: likewise)"),
        Threshold("eta_distance", "image", ABOVE, None, None, "artifacts, according to the networks",
                  "distance in eta from the session's own image of that contrast to the clean built-in reference"),
        Threshold("eta_clean_percentile", "image", ABOVE, None, None, "artifacts, according to the networks",
                  "percentile of that distance among clean simulated scans (absent for weights without a table)"),
        Threshold("artifact_level", "image", ABOVE, 1.20, None, "noise, motion or ghosts, according to the networks",
                  "mixture model: eta of the session's own image of that contrast, from 0 (none) to 1 or more "
                  "(strong artifacts)"),
        Threshold("residual", "image", ABOVE, None, None, "tissue intensities do not explain the scan",
                  "mixture model: robust standard deviation of the part of the session's own image of that contrast "
                  "that theta does not explain, relative to white matter"),
        Threshold("name_doubt", "image", ABOVE, 0.0, None, "the scan of this contrast looks like another contrast",
                  "mixture model: how much closer the scan's grey matter and fluid are to another contrast than to the "
                  "named one; 0 if its tissues as a whole are closest to the named one"),
        Threshold("clipped_share", "image", ABOVE, 0.02, 0.20, "part of the brain is black or saturated",
                  "fraction of the brain that is zero or negative, or has the largest intensity"),
        Threshold("brain_without_source", "image", ABOVE, 0.02, None, "part of the brain was not scanned",
                  "fraction of the brain outside the field of view of all sources, where the image is empty"),
        Threshold("csf_floor", "image", ABOVE, None, None, "the darkest tissue is not dark",
                  "second percentile of the brain, relative to the white-matter peak"),
        Threshold("nan_count", "image", ABOVE, None, 0, "voxels that are not finite",
                  "number of voxels that are not finite"),
    )
}  # fmt: skip


def with_changes(changes: Iterable[Change]) -> dict[str, Threshold]:
    """The table with changed limits (measure, look, fail); UsageError if a measure does not exist."""
    table = dict(THRESHOLDS)
    for measure, look, fail in changes:
        if measure not in table:
            raise UsageError(f"There is no quality number '{measure}'.", f"The quality numbers are {', '.join(table)}.")
        table[measure] = replace(table[measure], look=look, fail=fail)
    return table
