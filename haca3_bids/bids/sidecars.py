"""The JSON sidecars of the images: content, sources and processing."""

from collections.abc import Mapping, Sequence

from haca3_bids import __version__
from haca3_bids.option import labels
from haca3_bids.physics.tissues import TISSUES
from haca3_bids.quality.contrast import is_table
from haca3_bids.records.engine import EngineResult, HarmonizedImage, SourceReport
from haca3_bids.records.preprocessing import Preprocessing, Registration, ScanFacts
from haca3_bids.settings import WHITE_MATTER_PEAK, HarmonizationSettings

# copied from the raw sidecar: physics, no data on person, place or time
COPIED_KEYS: Mapping[str, tuple[type, ...]] = {
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
FAMILIES = {"mixture": "the mixture model", "haca3": "HACA3", "haca3plus": "HACA3+"}  # by variant of the weights
RESOLUTION = "1 mm isotropic, the grid of the template"
ALIGNMENT = "rigid (6 parameters): the frame is the template's, size and shape are the subject's own"
UNITS = "arbitrary"
SPLINES = {1: "linear interpolation", 3: "cubic B-spline"}  # by order


def template_sidecar(space: str, sources: Sequence[str], stripped: bool) -> dict[str, object]:
    """The keys of every image on the template grid; ``sources`` are ``bids:`` URIs."""
    return {
        "SkullStripped": stripped,
        "SpatialReference": SPATIAL_REFERENCES.get(space, space),
        "SpatialAlignment": ALIGNMENT,
        "Resolution": RESOLUTION,
        "Sources": list(sources),
        "Units": UNITS,
    }


def native_sidecar(reference_uri: str, sources: Sequence[str], stripped: bool) -> dict[str, object]:
    """The keys of every image on the grid of the session's reference scan."""
    return {"SkullStripped": stripped, "SpatialReference": reference_uri, "Sources": list(sources), "Units": UNITS}


def preproc_sidecar(contrast: str, found: Preprocessing, raw: Mapping[str, object]) -> dict[str, object]:
    """The additional keys of a preprocessed image."""
    own, registration = found.contrasts.get(contrast, ScanFacts()), found.registration or Registration()
    problem = own.coregistration_problem or registration.problem
    return {
        "Description": "N4 bias-field correction, rigid registration, white-matter peak scaled; background kept",
        "WhiteMatterPeak": own.white_matter_peak or WHITE_MATTER_PEAK,
        "WhiteMatterPeakRaw": own.white_matter_peak_raw,
        "FieldOfViewCoverage": own.coverage,
        "CoregistrationSimilarity": own.coregistration_similarity,
        **({"RegistrationProblem": problem} if problem else {}),
        **({"InputRemarks": own.remarks} if own.remarks else {}),
        **_sampling(own),
        **({"LongitudinalSessions": registration.visits} if registration.visits else {}),
        "Defaced": found.defaced,
        **copied(raw),
    }


def copied(raw: Mapping[str, object]) -> dict[str, object]:
    """The keys copied from a raw sidecar, if they have the types that BIDS requires."""
    return {
        key: raw[key]
        for key, types in COPIED_KEYS.items()
        if isinstance(raw.get(key), types) and not isinstance(raw[key], bool)
    }


def _sampling(own: ScanFacts) -> dict[str, object]:
    """The sampling of the scan and its interpolation to the template grid, if known."""
    if own.acquisition is None:
        return {}
    return {
        "ThickSlices": own.acquisition.two_dimensional,
        "SliceSpacing": own.acquisition.spacing_mm,
        "InPlaneVoxelSize": own.acquisition.in_plane_mm,
        "SuperResolution": own.super_resolution,
        **({"SuperResolutionSpacing": own.thin_spacing_mm} if own.super_resolution != "none" else {}),
        "Interpolation": f"one {SPLINES[own.spline_order]}, after a Gaussian along axes finer than the grid",
    }


def harmonized_sidecar(image: HarmonizedImage, result: EngineResult) -> dict[str, object]:
    """The additional keys of a harmonized image: model, weights, target, and contributions of the sources."""
    target, weights, fusion, empty = image.target, result.weights, result.fusion, image.brain_without_source
    family = FAMILIES.get(weights.variant or "", weights.variant)
    return {
        "Description": f"Harmonized with {family} to {target.name or 'the built-in reference'} ({target.contrast})",
        "Model": weights.variant,
        "Weights": weights.name,
        "WeightsSHA256": weights.sha256,
        **({"FusionWeights": fusion.name, "FusionWeightsSHA256": fusion.sha256} if fusion else {}),
        "Target": {
            "Name": target.name,
            "Contrast": target.contrast,
            "Theta": _theta(target.theta),
            "Eta": _eta(target.eta),
            "Origin": target.origin,
        },
        "SourceContrasts": {contrast: _source(own) for contrast, own in image.sources.items()},
        "WhiteMatterPeak": image.white_matter_peak,
        "Scale": image.scale,
        "CutShareOfGrid": image.cut_share,
        "CoveredShareOfGrid": image.covered_share,
        "BrainWithoutSourcePercent": None if empty is None else round(100 * empty, 2),
        **{label: getattr(result, name) for name, label in labels(HarmonizationSettings).items()},
        "SoftwareVersion": __version__,
    }


def _source(own: SourceReport) -> dict[str, object]:
    """The entry of one source; keys of the mixture model are absent for HACA3."""
    said = {
        "Theta": _theta(own.theta),
        "Eta": _eta(own.eta),
        "Attention": own.attention,
        "BrainCovered": own.brain_covered,
    }
    more = {
        "Residual": own.residual,
        "LooksLike": own.looks_like,
        "ByProtocol": own.by_protocol,
        "SliceWidth": own.slice_width,
    }
    return said | {key: value for key, value in more.items() if value is not None}


def _theta(theta: Sequence[float]) -> dict[str, float] | Sequence[float]:
    """A table by tissue names, or the two numbers of HACA3."""
    if not is_table(theta):
        return theta
    return {tissue: round(value, 4) for tissue, value in zip(TISSUES, theta, strict=True)}


def _eta(eta: Sequence[float]) -> float | Sequence[float]:
    """The artifact level of the mixture model, or the two numbers of HACA3."""
    return round(eta[0], 4) if len(eta) == 1 else eta
