"""BIDS labels and output file names."""

import re
from collections.abc import Mapping, Sequence

from haca3_bids.errors import UsageError

IMAGE_EXTENSIONS = (".nii", ".nii.gz")
OTHER_FORMATS = (".nii.bz2", ".nii.xz", ".nii.zst", ".img", ".mgz", ".mgh", ".mnc", ".nrrd", ".mha", ".mif")
ENTITY_ORDER = ("sub", "ses", "acq", "rec", "run", "space", "res", "desc")
SHOWN = 3  # names in a message
LABEL_RULE = "Labels have letters, digits and '+' only."


def is_label(text: str) -> bool:
    """Whether BIDS (1.11) allows a text as a label."""
    return bool(re.fullmatch(r"[A-Za-z0-9+]+", text))


def node_name(name: str) -> str:
    """The name of a session or subject as a Nipype name: ``sub-a+b_ses-1`` becomes ``sub_a_plus_b_ses_1``.

    Labels contain neither hyphens nor underscores.
    """
    return name.replace("-", "_").replace("+", "_plus_")


def some_of(names: Sequence[str], shown: int = SHOWN) -> str:
    """The first names of a list, for a message: ``sub-01, sub-02, sub-03 and 5 more``."""
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more > 0 else "")


def session_of_node(node: str) -> str:
    """The name that ``node_name`` was given: ``sub-a+b_ses-1`` for ``sub_a_plus_b_ses_1``."""
    return node.replace("_plus_", "+").replace("sub_", "sub-", 1).replace("_ses_", "_ses-", 1)


def as_label(text: str) -> str:
    """A label made from any text: its letters and digits."""
    return re.sub(r"[^A-Za-z0-9]", "", text)


def session_name(subject: str, session: str | None) -> str:
    """``sub-01_ses-1``, or ``sub-01`` for a dataset without sessions."""
    return f"sub-{subject}" + (f"_ses-{session}" if session else "")


def page_of(subject: str) -> str:
    """The page of a subject, ``sub-01.html``, which is also the name of its lock."""
    return f"sub-{subject}.html"


def session_folder(subject: str, session: str | None) -> str:
    """Folder of a session's files, relative to the dataset: ``sub-01/ses-1/anat``."""
    return f"sub-{subject}/" + (f"ses-{session}/" if session else "") + "anat"


def file_name(subject: str, session: str | None, suffix: str, extension: str, **entities: str | None) -> str:
    """``sub-01_ses-1_space-X_res-1_desc-haca3_T1w.nii.gz``: entities in the order of BIDS, empty ones left out."""
    parts = [session_name(subject, session)]
    unknown = set(entities) - set(ENTITY_ORDER)
    if unknown:
        raise ValueError(f"no place for entities {sorted(unknown)}")
    for key in ENTITY_ORDER:
        if value := entities.get(key):
            if not is_label(value):
                raise UsageError(f"'{value}' is not a valid BIDS label.", LABEL_RULE)
            parts.append(f"{key}-{value}")
    return "_".join([*parts, suffix]) + extension


def transform_name(subject: str, session: str | None, source: str, target: str) -> str:
    """``sub-01_from-T1w_to-MNI152NLin2009cSym_mode-image_xfm.txt``."""
    return f"{session_name(subject, session)}_from-{source}_to-{target}_mode-image_xfm.txt"


def check_target_name(name: str) -> str:
    """The name itself; UsageError if it is not alphanumeric or would collide with our own names."""
    if not name.isascii() or not name.isalnum():
        raise UsageError(f"'{name}' is not a valid name of a target.", "A name consists of letters and digits.")
    if name.lower().endswith("std"):
        raise UsageError(f"A target cannot be called '{name}': 'std' at the end means standard deviation.")
    return name


def parse_entities(file: str) -> tuple[dict[str, str], str, str]:
    """Entities, suffix and extension of a BIDS file name."""
    stem, dot, rest = file.partition(".")
    *pairs, suffix = stem.split("_")
    entities = dict(pair.split("-", 1) for pair in pairs if "-" in pair)
    return entities, suffix, dot + rest


def matches_filter(entities: Mapping[str, str], wanted: Mapping[str, object]) -> bool:
    """Whether entities match a filter: None means absent, '*' any value, a list any of its values."""
    for key, value in wanted.items():
        found = entities.get(key)
        allowed = value if isinstance(value, list) else [value]
        if "*" not in allowed and not any(_same(found, one) for one in allowed):
            return False
    return True


def _same(found: str | None, wanted: object) -> bool:
    if found is None or wanted is None:
        return found is wanted
    text = str(wanted)
    return found == text or (found.isdigit() and text.isdigit() and int(found) == int(text))
