"""The brain of a session on the grid of its images: from given masks or tissue maps, else the template's."""

from __future__ import annotations

import argparse
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from haca3_bids.bids.names import parse_entities
from haca3_bids.bids.results import NIFTI, TemplateImage
from haca3_bids.errors import BadInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from haca3_bids.volumes.volume import Volume

TISSUES = ("CSF", "GM", "SGM", "WM", "L")  # label- entities of the parts of a brain
MOST = 0.5  # of a voxel


def add_brain(parser: argparse.ArgumentParser) -> None:
    """The option ``--brain``."""
    parser.add_argument(
        "--brain",
        type=Path,
        metavar="DIR",
        help="derivatives with a brain mask (desc-brain_mask) or tissue maps (label-*_probseg) of each session on the "
        "grid of the images, such as the truth of haca3 simulate (default: the template's brain)",
    )


def brain_of(image: TemplateImage, grid: Volume, folder: Path | None) -> NDArray[np.bool_]:
    """The brain of an image's session; BadInput where there is none on its grid."""
    brain = _template_brain(image.space) if folder is None else _given_brain(image, folder)
    if not brain.has_grid_of(grid):
        of = f"the template {image.space}" if folder is None else folder.name
        raise BadInput(
            f"The brain from {of} and {image.path.name} are not on the same grid.", "Resample one to the other."
        )
    return brain.data > MOST


def brain_in_words(folder: Path | None) -> str:
    """Where the brain comes from."""
    return "the template's brain mask" if folder is None else f"the brain masks in {folder.name}"


@cache
def _template_brain(space: str) -> Volume:
    from haca3_bids.preprocessing.template import SPACES, load_template

    names = {label: name for name, label in SPACES.items()}
    if space not in names:
        raise BadInput(f"There is no brain mask for space-{space}.", "Give masks with --brain.")
    return load_template(names[space]).brain


def _given_brain(image: TemplateImage, folder: Path) -> Volume:
    from haca3_bids.volumes.volume import load_volume

    files = session_files(folder, image)
    masks = [path for path in files if path.name.partition(".")[0].endswith("desc-brain_mask")]
    maps = [path for label in TISSUES for path in files if f"_label-{label}_probseg." in path.name]
    if not masks and not maps:
        raise BadInput(
            f"{folder.name} has no brain mask of {image.session_name}.",
            "It needs desc-brain_mask or label-*_probseg images in the space of the harmonized images.",
        )
    first, *others = (load_volume(path, may_be_constant=True) for path in masks[:1] or maps)
    return first.with_data(sum((other.data for other in others), first.data))


def session_files(folder: Path, image: TemplateImage) -> list[Path]:
    """The images of a session in another dataset, in the same space."""
    if not folder.is_dir():
        raise BadInput(f"{folder.name} is not a folder.", "Give a folder of derivatives.")
    found = [path for path in sorted(folder.glob(f"{image.participant}/**/*.nii*")) if path.name.endswith(NIFTI)]
    wanted = {"ses": image.session.removeprefix("ses-"), "space": image.space}
    return [
        path for path in found if all(parse_entities(path.name)[0].get(key, "") == own for key, own in wanted.items())
    ]
