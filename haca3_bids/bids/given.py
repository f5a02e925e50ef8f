"""Results of earlier derivatives for a session: brain mask, head mask and rigid transform to the template."""

from collections.abc import Sequence
from pathlib import Path

from haca3_bids.bids.discover import Session
from haca3_bids.bids.names import matches_filter, parse_entities
from haca3_bids.errors import UsageError

MASKS = {"brain": "brain_mask", "head": "head_mask"}
OF_A_SCAN = ("acq", "ce", "rec", "run", "echo")  # entities by which scans of one contrast differ
LINEAR_EXTENSIONS = (".txt", ".mat", ".tfm")  # linear transforms of ITK and (.mat) ANTs; .h5 may contain a warp


def check_derivatives(derivatives: Sequence[tuple[str, Path]]) -> None:
    """Raise UsageError if a folder of earlier derivatives does not exist."""
    for name, folder in derivatives:
        if not folder.is_dir():
            raise UsageError(f"--derivatives {name}={folder}: this folder does not exist.")


def find_given(derivatives: Sequence[tuple[str, Path]], session: Session, space: str) -> dict[str, Path]:
    """The files found of ``brain_mask``, ``head_mask`` (in the reference scan's space) and ``to_template`` (ITK).

    Folders are searched in the given order, files of the session before those of the subject. Where a name states an
    acquisition, run, reconstruction, echo or contrast agent, it is that of the reference scan.
    """
    found: dict[str, Path] = {}
    for _, folder in derivatives:
        for place in dict.fromkeys((session.folder, f"sub-{session.subject}/anat")):
            for path in sorted((folder / place).glob(f"sub-{session.subject}_*")):
                kind = _kind(path, session, space)
                if kind:
                    found.setdefault(kind, path)
    return found


def _kind(path: Path, session: Session, space: str) -> str:
    entities, suffix, extension = parse_entities(path.name)
    of_scan = {key: entities[key] for key in OF_A_SCAN if key in entities}
    if entities.get("ses", session.session) != session.session:
        return ""
    if not matches_filter(session.images[session.reference].entities, of_scan):
        return ""
    if suffix == "mask" and extension.startswith(".nii") and entities.get("desc") in MASKS:
        own = entities.get("space", session.reference) == session.reference and "res" not in entities
        return MASKS[entities["desc"]] if own else ""
    if suffix == "xfm" and extension in LINEAR_EXTENSIONS and entities.get("mode") == "image":
        pair = (entities.get("from"), entities.get("to"))
        return "to_template" if pair == (session.reference, space) else ""
    return ""
