"""The images of a derivatives dataset, for experiments and other programs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haca3_bids.bids.atomic import read_json
from haca3_bids.bids.names import IMAGE_EXTENSIONS, parse_entities
from haca3_bids.errors import BadInput
from haca3_bids.settings import CONTRASTS

DESCRIPTION = "dataset_description.json"


@dataclass(frozen=True)
class TemplateImage:
    """An image in a template space."""

    path: Path
    participant: str  # "sub-01"
    session: str  # "ses-1"; empty in a dataset without sessions
    space: str
    desc: str
    contrast: str

    @property
    def session_name(self) -> str:
        """``sub-01_ses-1``."""
        return "_".join(filter(None, (self.participant, self.session)))


def check_derivatives(dataset: Path) -> None:
    """Raise BadInput if a folder is not a derivatives dataset."""
    if not dataset.is_dir():
        raise BadInput(f"{dataset.name} is not a folder.", "Give the output folder of haca3-bids.")
    said = read_json(dataset / DESCRIPTION)
    if said is None or said.get("DatasetType") != "derivative":
        found = f"it has no {DESCRIPTION}" if said is None else f"its {DESCRIPTION} names another type"
        raise BadInput(
            f"{dataset.resolve().name} is not a derivatives dataset: {found}.", "Give the output folder of haca3-bids."
        )


def images_of(dataset: Path) -> list[TemplateImage]:
    """All T1w, T2w, PDw and FLAIR images in a template space, sorted by path; BadInput if there are none."""
    check_derivatives(dataset)
    found = [image for path in sorted(dataset.glob("sub-*/**/*.nii*")) if (image := _image(path))]
    if not found:
        raise BadInput(
            f"{dataset.resolve().name} has no image in a template's space.", "Give the output folder of haca3-bids."
        )
    return found


def sidecar_of(image: Path) -> dict[str, Any]:
    """The content of the sidecar of an image; empty without one."""
    return read_json(image.with_name(f"{image.name.partition('.')[0]}.json")) or {}


def _image(path: Path) -> TemplateImage | None:
    entities, suffix, extension = parse_entities(path.name)
    space = entities.get("space", "")
    if suffix not in CONTRASTS or extension not in IMAGE_EXTENSIONS or space in ("", *CONTRASTS):
        return None
    session = f"ses-{entities['ses']}" if "ses" in entities else ""
    return TemplateImage(path, f"sub-{entities.get('sub', '')}", session, space, entities.get("desc", ""), suffix)


def by_file_name(folder: Path) -> dict[str, Path]:
    """All images below a folder by file name; BadInput if a name occurs twice or there is no image."""
    if not folder.is_dir():
        raise BadInput(f"{folder.name} is not a folder.", "Give a folder of images.")
    found: dict[str, Path] = {}
    for path in (path for path in sorted(folder.rglob("*.nii*")) if path.name.endswith(IMAGE_EXTENSIONS)):
        if path.name in found:
            raise BadInput(f"{folder.name} has two images called {path.name}.", "Remove one of them.")
        found[path.name] = path
    if not found:
        raise BadInput(f"{folder.name} has no NIfTI image.", "Give a folder of images.")
    return found
