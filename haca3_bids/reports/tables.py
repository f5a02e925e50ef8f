"""The tables of the group level, and the descriptions of their columns."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from haca3_bids.physics.tissues import TISSUES
from haca3_bids.quality.contrast import is_table
from haca3_bids.quality.thresholds import THRESHOLDS
from haca3_bids.records.findings import Column, Table, Value
from haca3_bids.records.preprocessing import ScanFacts
from haca3_bids.reports.cohort import Member
from haca3_bids.reports.outliers import percentiles
from haca3_bids.reports.theta import TISSUE_WORDS
from haca3_bids.settings import CONTRASTS

Row = dict[str, Value]
NAMES = {"participant_id": "Participant", "session_id": "Session; n/a if the dataset has none"}
HACA3_COLUMNS: Mapping[str, str] = {
    "theta0": "First component of theta: of the scan itself, or of the target of a harmonized image",
    "theta1": "Second component of theta",
    "eta0": "First component of eta: of the scan itself, or of the target of a harmonized image",
    "eta1": "Second component of eta",
    "theta0_after": "First component of theta of the harmonized image, encoded again",
    "theta1_after": "Second component of theta of the harmonized image, encoded again",
}
MIXTURE_COLUMNS: Mapping[str, str] = {
    **{
        f"theta_{tissue}": f"Intensity of {TISSUE_WORDS[tissue]}, white matter = 1: of the scan itself, or of the "
        "target of a harmonized image"
        for tissue in TISSUES
    },
    "eta": "Level of artifacts, from 0 (none) to 1 or more (strong artifacts): of the scan itself, "
    "or of the target of a harmonized image",
    "residual": "Robust standard deviation of the part of a scan that theta does not explain, relative to white matter",
    "looks_like": "Contrast whose usual tissue intensities are nearest to those of the scan",
    **{
        f"theta_{tissue}_after": f"Intensity of {TISSUE_WORDS[tissue]} in the harmonized image, white matter = 1"
        for tissue in TISSUES
    },
}
CONTRAST_COLUMNS: Mapping[str, str] = {  # a table has those of one family of networks
    **NAMES,
    "desc": "preproc: a source; haca3...: a harmonized image, named for its target",
    "contrast": "Contrast of the image",
    **HACA3_COLUMNS,
    **MIXTURE_COLUMNS,
    **{f"attention_{contrast}": f"Mean attention to the {contrast}" for contrast in CONTRASTS},
    "white_matter_peak": "White-matter peak after scaling; of a harmonized image, before it was scaled to 1000",
    "white_matter_peak_raw": "White-matter peak of the raw scan",
    "scale": "Factor by which the networks' output was multiplied",
    "coverage": "Fraction of the template's grid in the scan's field of view",
    "coregistration_similarity": "Mutual information (nats) of the scan and the session's reference",
}
QC_COLUMNS: Mapping[str, str] = {
    **NAMES,
    "kind": "session, scan (preprocessed) or image (harmonized)",
    "where": "session, contrast of the scan, or target of the image",
    "verdict": "Verdict on the session: pass, look or fail",
    "reasons": "Why the session did not pass",
    **{name: threshold.meaning for name, threshold in THRESHOLDS.items()},
    "eta_percentile": "Percentile of eta_distance among the images of that target in this dataset",
}


def contrast_table(members: Sequence[Member]) -> Table:
    """Rows for harmonized images (with theta and eta of the target) and for sources (with their own)."""
    columns = _columns_of(members)
    rows: list[Row] = []
    for member in members:
        for image in member.record.harmonization.images:
            target = image.target
            row = _named(member, columns) | {"desc": target.desc, "contrast": target.contrast}
            row |= _numbers("theta", target.theta) | _numbers("eta", target.eta)
            row |= _numbers("theta", image.theta_after or (), "_after")
            row |= {f"attention_{contrast}": own.attention for contrast, own in image.sources.items()}
            rows.append(row | {"white_matter_peak": image.white_matter_peak, "scale": image.scale})
        rows += [
            _scan_row(member, columns, contrast, own) for contrast, own in member.record.preprocessing.contrasts.items()
        ]
    return Table(_described(CONTRAST_COLUMNS), rows)


def _scan_row(member: Member, columns: Iterable[str], contrast: str, own: ScanFacts) -> Row:
    row = _named(member, columns) | {"desc": "preproc", "contrast": contrast}
    if (source := member.sources.get(contrast)) is not None:
        row |= _numbers("theta", source.theta) | _numbers("eta", source.eta)
        if "looks_like" in columns:
            row |= {"residual": source.residual, "looks_like": source.looks_like}
    return row | {
        "white_matter_peak": own.white_matter_peak,
        "white_matter_peak_raw": own.white_matter_peak_raw,
        "coverage": own.coverage,
        "coregistration_similarity": own.coregistration_similarity,
    }


def qc_table(members: Iterable[Member]) -> Table:
    """Rows for each session, each of its scans and each of its harmonized images."""
    rows: list[Row] = []
    images: dict[str, list[Row]] = {}  # those of one target
    for member in members:
        reasons = " ".join(reason.sentence for reason in member.record.quality.reasons) or None
        for kind, where, own in member.numbers():
            row = _named(member, QC_COLUMNS) | {"kind": kind, "where": where, "verdict": member.record.verdict}
            rows.append(row | {"reasons": reasons} | {name: own.get(name) for name in THRESHOLDS})
            if kind == "image":
                images.setdefault(where, []).append(rows[-1])
    for alike in images.values():
        known = np.array([row["eta_distance"] for row in alike], np.float64)
        for row, value in zip(alike, percentiles(known).tolist(), strict=True):
            row["eta_percentile"] = value
    return Table(_described(QC_COLUMNS), rows)


def _described(columns: Mapping[str, str]) -> list[Column]:
    return [Column(name, meaning[:1].upper() + meaning[1:]) for name, meaning in columns.items()]


def _named(member: Member, columns: Iterable[str]) -> Row:
    """A row with the names of the session, and without other values as yet."""
    return dict.fromkeys(columns) | {"participant_id": member.participant, "session_id": member.session or None}


def _columns_of(members: Iterable[Member]) -> list[str]:
    """The columns of the family of networks that harmonized these sessions."""
    thetas = [image.target.theta for member in members for image in member.record.harmonization.images]
    others = HACA3_COLUMNS if any(map(is_table, thetas)) else MIXTURE_COLUMNS
    return [name for name in CONTRAST_COLUMNS if name not in others]


def _numbers(name: str, values: Sequence[float], end: str = "") -> Row:
    """Cells of a theta or eta, named by tissue or by index, or with the name alone for a single number."""
    if is_table(values):
        return {f"{name}_{tissue}{end}": value for tissue, value in zip(TISSUES, values, strict=True)}
    if len(values) == 1:
        return {f"{name}{end}": values[0]}
    return {f"{name}{index}{end}": value for index, value in enumerate(values[:2])}
