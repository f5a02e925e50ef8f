"""Selection of candidate files: weighted magnitude images of one of the four contrasts."""

import re
from collections.abc import Mapping
from typing import Any

from haca3_bids.bids.names import IMAGE_EXTENSIONS, OTHER_FORMATS, matches_filter, parse_entities
from haca3_bids.settings import CONTRASTS, SelectionSettings

Filters = Mapping[str, Mapping[str, Any]]  # requested values of entities, by contrast
OTHER_CONTRASTS = {
    "MP2RAGE": "not supported: an inversion image of MP2RAGE does not have one of the four contrasts",
    "UNIT1": "not supported: the uniform image of MP2RAGE has noise in place of air",
    "T1map": "not supported: a map of T1, not a T1-weighted image",
    "R1map": "not supported: a map of R1, not a T1-weighted image",
    "PDT2": "a combined PD and T2 image is two volumes in one file; split it into PDw and T2w",
    "PD": "the suffix PD is deprecated; use PDw for a proton-density weighted image",
    "defacemask": "a mask, not an image",
    "mask": "a mask, not an image",
}
UNWANTED_ENTITIES = {
    "ce": "contrast-enhanced (ce-); select it by label with --bids-filter-file",
    "inv": "not supported: an inversion image of a quantitative acquisition (inv-)",
    "mt": "part of a magnetization-transfer pair (mt-)",
    "chunk": "one of several parts of a head (chunk-)",
    "space": "not in its own space (space-): not a raw scan",
    "desc": "processed (desc-): not a raw scan",
    "task": "acquired during a task (task-); select it by label with --bids-filter-file",
}
KNOWN_ENTITIES = ("sub", "ses", "acq", "rec", "run", "echo", "part")  # of a plain weighted image
NOT_MAGNITUDE = re.compile(r"phase.*|.*phase|pha?|imag|imaginary|real|complex", re.IGNORECASE)  # labels of rec-, acq-
NOT_REQUESTED, FILTERED = "is not among --modalities", "left out by --bids-filter-file"
FILTER_KEYS = {
    "acquisition": "acq",
    "reconstruction": "rec",
    "ceagent": "ce",
    "session": "ses",
    "subject": "sub",
    "inversion": "inv",
    "direction": "dir",
}


def why_unusable(name: str, selection: SelectionSettings, filters: Filters) -> str:
    """Why the file of that name is not a candidate; empty if it is one."""
    entities, suffix, extension = parse_entities(name)
    if extension not in IMAGE_EXTENSIONS:
        return _why_extension(extension)
    if suffix in OTHER_CONTRASTS:
        return OTHER_CONTRASTS[suffix]
    if suffix not in CONTRASTS:
        return f"{suffix} is not one of {', '.join(CONTRASTS)}"
    wanted = _wanted(suffix, filters)
    for entity in entities:
        if entity not in KNOWN_ENTITIES and wanted.get(entity) is None:
            unknown = f"BIDS does not define {entity}- for weighted images; select it with --bids-filter-file"
            return UNWANTED_ENTITIES.get(entity, unknown)
    if entities.get("part", "mag") != "mag":
        return f"the {entities['part']} part of a complex image (part-{entities['part']})"
    if suffix not in selection.modalities:
        return f"{suffix} {NOT_REQUESTED}"
    of_name = {"suffix": suffix, "datatype": "anat", "extension": extension}
    return "" if matches_filter(entities | of_name, wanted) else FILTERED


def _why_extension(extension: str) -> str:
    if extension.lower() in IMAGE_EXTENSIONS:
        return f"its extension is in capital letters; rename it to {extension.lower()}"
    if other := next((one for one in OTHER_FORMATS if extension.lower().endswith(one)), ""):
        return f"not in NIfTI ({other}); convert it to .nii.gz"
    return f"its name has a period before the extension ({extension}), as copies and labels such as 0.7mm do"


def why_no_magnitude(name: str, part: str, filters: Filters) -> str:
    """Why a file is not a magnitude image, from its name or the ``part`` of its sidecar; empty if it is one."""
    entities, suffix, _ = parse_entities(name)
    wanted = _wanted(suffix, filters)
    for entity in ("rec", "acq"):
        if NOT_MAGNITUDE.fullmatch(entities.get(entity, "")) and wanted.get(entity) is None:
            label = f"{entity}-{entities[entity]}"
            return f"not a magnitude image according to its name ({label}); select it by label with --bids-filter-file"
    return f"a {part} image according to its ImageType" if part and wanted.get("part") is None else ""


def why_enhanced(name: str, agent: str, filters: Filters) -> str:
    """Why a T1w image with the contrast ``agent`` of its sidecar is not a candidate; empty if it is one."""
    _, suffix, _ = parse_entities(name)
    if suffix != "T1w" or not agent or _wanted(suffix, filters).get("ce") is not None:
        return ""
    return f'contrast-enhanced according to its sidecar ({agent}); "ceagent": "*" in --bids-filter-file selects it'


def _wanted(contrast: str, filters: Filters) -> dict[str, Any]:
    return {FILTER_KEYS.get(key, key): value for key, value in filters.get(contrast, {}).items()}
