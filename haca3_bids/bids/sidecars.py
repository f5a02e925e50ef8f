"""The JSON sidecars of the images: content, sources and processing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from haca3_bids.option import labels
from haca3_bids.physics.tissues import TISSUES
from haca3_bids.quality.contrast import is_table
from haca3_bids.settings import WHITE_MATTER_PEAK, HarmonizationSettings

COPIED_KEYS: Mapping[str, tuple[type, ...]] = {  # of the raw sidecar: physics, nothing of the person, place or time
    "Manufacturer": (str,),
    "ManufacturersModelName": (str,),
    "MagneticFieldStrength": (int, float),
    "MRAcquisitionType": (str,),
    "ScanningSequence": (str, list),
    "SequenceVariant": (str, list),
    "PulseSequenceType": (str,),
    "EchoTime": (int, float, list),
    "RepetitionTime": (int, float),
    "InversionTime": (int, float),
    "FlipAngle": (int, float, list),
    "SliceThickness": (int, float),
}
SPATIAL_REFERENCES = {
    "MNI152NLin2009cSym": "https://templateflow.s3.amazonaws.com/tpl-MNI152NLin2009cSym/"
    "tpl-MNI152NLin2009cSym_res-1_T1w.nii.gz",
    "MNI152NLin2009aSym": "https://www.bic.mni.mcgill.ca/ServicesAtlases/ICBM152NLin2009",
}
RESOLUTION = "1 mm isotropic, the grid of the template"
ALIGNMENT = "rigid (6 parameters): the frame is the template's, size and shape are the subject's own"
UNITS = "arbitrary"


def template_sidecar(space: str, sources: Sequence[str]) -> dict[str, Any]:
    """What every image on the template grid says; ``sources`` are ``bids:`` URIs."""
    return {
        "SkullStripped": False,
        "SpatialReference": SPATIAL_REFERENCES.get(space, space),
        "SpatialAlignment": ALIGNMENT,
        "Resolution": RESOLUTION,
        "Sources": list(sources),
        "Units": UNITS,
    }


def native_sidecar(reference_uri: str, sources: Sequence[str]) -> dict[str, Any]:
    """What every image on the grid of the session's reference scan says."""
    return {
        "SkullStripped": False,
        "SpatialReference": reference_uri,
        "Sources": list(sources),
        "Units": UNITS,
    }


def preproc_sidecar(contrast: str, record: Mapping[str, Any], raw: Mapping[str, Any]) -> dict[str, Any]:
    """What a preprocessed image adds."""
    own = record.get("contrasts", {}).get(contrast, {})
    visits = record.get("registration", {}).get("visits")
    remarks = own.get("remarks")
    problem = own.get("registration_problem") or record.get("registration", {}).get("problem")
    return {
        "Description": "N4 bias-field correction, rigid registration, white-matter peak scaled; background kept",
        "WhiteMatterPeak": own.get("white_matter_peak", WHITE_MATTER_PEAK),
        "WhiteMatterPeakRaw": own.get("white_matter_peak_raw"),
        "FieldOfViewCoverage": own.get("coverage"),
        "RegistrationSimilarity": own.get("registration_similarity"),
        **({"RegistrationProblem": problem} if problem else {}),
        **({"InputRemarks": remarks} if remarks else {}),
        **_sampling(own),
        **({"LongitudinalSessions": visits} if visits else {}),
        "Defaced": record.get("defaced"),
        **copied(raw),
    }


def copied(raw: Mapping[str, Any]) -> dict[str, Any]:
    """What is copied of a raw sidecar, as far as it has the type that BIDS asks for."""
    return {
        key: raw[key]
        for key, types in COPIED_KEYS.items()
        if isinstance(raw.get(key), types) and not isinstance(raw[key], bool)
    }


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 2)


def _sampling(own: Mapping[str, Any]) -> dict[str, Any]:
    """How the scan was sampled and brought to the template's grid, as far as the record says."""
    taken = own.get("acquisition")
    if not taken:
        return {}
    method = own.get("super_resolution", "none")
    smoothed = "one cubic B-spline, after a Gaussian along axes finer than the grid"
    return {
        "ThickSlices": taken["two_dimensional"],
        "SliceSpacing": taken["spacing_mm"],
        "InPlaneVoxelSize": taken["in_plane_mm"],
        "SuperResolution": method,
        **({"SuperResolutionSpacing": own["thin_spacing_mm"]} if method != "none" else {}),
        "Interpolation": smoothed,
    }


def harmonized_sidecar(image: Mapping[str, Any], result: Mapping[str, Any], version: str) -> dict[str, Any]:
    """What a harmonized image adds: model, weights, target, and what each source contributed."""
    target = image["target"]
    weights, fusion = result.get("weights", {}), result.get("fusion")
    model = weights.get("variant", "haca3")
    by = "the mixture model" if model == "mixture" else "HACA3"
    return {
        "Description": f"Harmonized with {by} to {target['name'] or 'the built-in reference'} ({target['contrast']})",
        "Model": model,
        "Weights": weights.get("name"),
        "WeightsSHA256": weights.get("sha256"),
        **({"FusionWeights": fusion.get("name"), "FusionWeightsSHA256": fusion.get("sha256")} if fusion else {}),
        "Target": {
            "Name": target["name"],
            "Contrast": target["contrast"],
            "Theta": _theta(target["theta"]),
            "Eta": _eta(target["eta"]),
            "Origin": target.get("origin"),
        },
        "SourceContrasts": {contrast: _source(own) for contrast, own in image.get("sources", {}).items()},
        "WhiteMatterPeak": image.get("white_matter_peak"),
        "Scale": image.get("scale"),
        "CutShareOfGrid": image.get("cut_share"),
        "CoveredShareOfGrid": image.get("covered_share"),
        "BrainWithoutSourcePercent": _percent(image.get("brain_without_source")),
        **{label: result.get(name) for name, label in labels(HarmonizationSettings).items()},
        "SoftwareVersion": version,
    }


def _source(own: Mapping[str, Any]) -> dict[str, Any]:
    """What the networks said of one source; what only the mixture model says is left out for HACA3."""
    said = {
        "Theta": _theta(own.get("theta")),
        "Eta": _eta(own.get("eta")),
        "Attention": own.get("attention"),
        "BrainCovered": own.get("brain_covered"),
    }
    more = {"Residual": own.get("residual"), "LooksLike": own.get("looks_like")}
    return said | {key: value for key, value in more.items() if value is not None}


def _theta(theta: Sequence[float] | None) -> dict[str, float] | Sequence[float] | None:
    """A table by the names of its tissues; the numbers of HACA3 as they are."""
    if theta is None or not is_table(theta):
        return theta
    return {tissue: round(value, 4) for tissue, value in zip(TISSUES, theta, strict=True)}


def _eta(eta: Sequence[float] | None) -> float | Sequence[float] | None:
    """The level of artifacts of the mixture model is one number, HACA3's are two."""
    return round(eta[0], 4) if eta is not None and len(eta) == 1 else eta
