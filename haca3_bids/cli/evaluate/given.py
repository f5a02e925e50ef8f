"""Brain masks, tissue maps and lesion masks from other derivatives, on the grid of the images of a session.

The truth of ``haca3 simulate`` is in another space, and is resampled with the position of the head in the scanner and
the transform of haca3-bids. All other maps must be on the grid of the images.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from haca3_bids.arrays import Array, Mask
from haca3_bids.bids.atomic import read_json
from haca3_bids.bids.names import IMAGE_EXTENSIONS, parse_entities
from haca3_bids.bids.results import TemplateImage
from haca3_bids.cli.evaluate.inputs import has_data, load
from haca3_bids.errors import BadInput
from haca3_bids.settings import TEMPLATE_SPACES

if TYPE_CHECKING:
    from haca3_bids.preprocessing.template import Template
    from haca3_bids.volumes.volume import Volume

TISSUES = {"CSF": ("CSF",), "GM": ("GM", "SGM"), "WM": ("WM", "L")}  # label- entities of their maps
BIDS_LABELS = {"GM": 1, "WM": 2, "CSF": 3}  # of a dseg, as defined by BIDS
LESIONS = ("label-L_mask", "label-lesion_mask", "desc-lesion_mask")  # ends of the names of lesion masks
MOST = 0.5  # threshold of masks and of the sum of tissue fractions
POSE = "from-MNI152NLin2009cSym_to-scanner_mode-image_xfm.json"


def add_brain(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--brain``."""
    parser.add_argument(
        "--brain",
        type=Path,
        metavar="DIR",
        help="derivatives with a brain mask (desc-brain_mask) or tissues (label-*_probseg or dseg) of each session, on "
        "the grid of the images, or the truth of haca3 simulate (default: the template's brain)",
    )


def brain_in_words(folder: Path | None) -> str:
    """A description of the source of the brain mask."""
    return "the template's brain mask" if folder is None else f"given by the masks or tissue maps in {folder.name}"


def brain_of(image: TemplateImage, grid: Volume, folder: Path | None) -> Mask:
    """The brain mask of the session of an image; BadInput if there is none on its grid, or it is empty.

    ``grid`` is the image itself: where it has no data, as outside its field of view, there is no brain.
    """
    brain = _brain_of(image, grid, folder) & has_data(grid)
    if not brain.any():
        raise BadInput(f"The brain mask of {image.session_name} is empty.", "Give other masks with --brain.")
    return brain


def _brain_of(image: TemplateImage, grid: Volume, folder: Path | None) -> Mask:
    if folder is None:
        brain = template_of(image.space, "Give masks with --brain.").brain
        if not brain.has_grid_of(grid):
            sentence = f"The brain of the template {image.space} and {image.path.name} are not on the same grid."
            raise BadInput(sentence, "Give masks with --brain.")
        return brain.data > MOST
    files = session_files(folder, image)
    masks = [path for path in files if path.name.partition(".")[0].endswith("desc-brain_mask")]
    if masks:
        return _on_grid(masks[:1], image, grid, folder) > MOST
    maps = [path for labels in TISSUES.values() for path in _labelled(files, labels)]
    if maps:
        return _on_grid(maps, image, grid, folder) > MOST
    if any(_is_dseg(path) for path in files):
        return np.asarray(np.logical_or.reduce(list(tissues_of(image, grid, folder).values())), np.bool_)
    raise BadInput(
        f"{folder.name} has no brain mask of {image.session_name}.",
        f"It needs desc-brain_mask, label-*_probseg or dseg images with space-{image.space} in their names.",
    )


def tissues_of(image: TemplateImage, grid: Volume, folder: Path) -> Mapping[str, Mask]:
    """Masks of CSF, GM and WM of the session of an image, which do not overlap; BadInput if there are none."""
    files = session_files(folder, image)
    maps = {tissue: _labelled(files, labels) for tissue, labels in TISSUES.items()}
    if all(maps.values()):
        shares = np.stack([_on_grid(paths, image, grid, folder) for paths in maps.values()])
        largest, brain = shares.argmax(axis=0), shares.sum(axis=0) > MOST
        return {tissue: brain & (largest == place) for place, tissue in enumerate(maps)}
    labels = [path for path in files if _is_dseg(path)]
    if len(labels) != 1:
        raise BadInput(
            f"{folder.name} has no tissue maps of {image.session_name}.",
            "It needs label-CSF, label-GM and label-WM probseg images, or one dseg image with the labels of BIDS, with "
            f"space-{image.space} in their names.",
        )
    numbers = np.rint(_on_grid(labels, image, grid, folder, order=0))
    return {tissue: numbers == BIDS_LABELS[tissue] for tissue in TISSUES}


def lesions_of(images: Sequence[TemplateImage], grid: Volume, folder: Path) -> Mask:
    """The union of the lesion masks of several sessions; BadInput if none has a mask."""
    found = [
        _on_grid([path], image, grid, folder) > MOST
        for image in images
        for path in session_files(folder, image)
        if path.name.partition(".")[0].endswith(LESIONS)
    ]
    if not found:
        names = " or ".join(image.session_name for image in images)
        raise BadInput(
            f"{folder.name} has no lesion mask of {names}.",
            f"Its name must contain space-{images[0].space} and end in {' or '.join(LESIONS)}.",
        )
    return np.asarray(np.logical_or.reduce(found), np.bool_)


def session_files(folder: Path, image: TemplateImage) -> list[Path]:
    """The images of a session in another dataset, in the same space or with a known pose."""
    if not folder.is_dir():
        raise BadInput(f"{folder.name} is not a folder.", "Give a folder of derivatives.")
    found = [
        path for path in sorted(folder.glob(f"{image.participant}/**/*.nii*")) if path.name.endswith(IMAGE_EXTENSIONS)
    ]
    wanted = {"ses": image.session.removeprefix("ses-")}
    if _pose(folder, image) is None:
        wanted["space"] = image.space
    return [
        path for path in found if all(parse_entities(path.name)[0].get(key, "") == own for key, own in wanted.items())
    ]


def _pose(folder: Path, image: TemplateImage) -> Path | None:
    """The file with the position of the head in the scanner, if the dataset is a truth of ``haca3 simulate``."""
    return next(folder.glob(f"{image.participant}/**/{image.session_name}_{POSE}"), None)


@cache
def template_of(space: str, hint: str) -> Template:
    """The template of a space; BadInput with the hint if there is none."""
    from haca3_bids.preprocessing.template import load_template

    names = {label: name for name, label in TEMPLATE_SPACES.items()}
    if space not in names:
        raise BadInput(f"There is no template for space-{space}.", hint)
    return load_template(names[space])


def _is_dseg(path: Path) -> bool:
    return path.name.partition(".")[0].endswith("_dseg")


def _labelled(files: Sequence[Path], labels: Sequence[str]) -> list[Path]:
    return [path for label in labels for path in files if f"_label-{label}_probseg." in path.name]


def _on_grid(paths: Sequence[Path], image: TemplateImage, grid: Volume, folder: Path, order: int = 1) -> Array:
    """The sum of maps on the grid of an image; only simulated truth is resampled."""
    from haca3_bids.preprocessing.resampling import resample

    first, *others = (load(path, may_be_constant=True) for path in paths)
    whole = first.with_data(sum((other.data for other in others), first.data))
    pose = _pose(folder, image)
    if pose is not None:
        return resample(whole, grid, _from_image_to_truth(image, pose), order=order).data
    if not whole.has_grid_of(grid):
        raise BadInput(f"{paths[0].name} and {image.path.name} are not on the same grid.", "Resample one to the other.")
    return whole.data


def _from_image_to_truth(image: TemplateImage, pose: Path) -> NDArray[np.float64]:
    """The transform (4, 4) from millimetres of the image to those of the truth, via scanner coordinates."""
    from haca3_bids.preprocessing.transforms import inverse, read_itk

    to_scanner = next(image.path.parent.glob(f"{image.session_name}_from-*_to-{image.space}_mode-image_xfm.txt"), None)
    said = read_json(pose) or {}
    if to_scanner is None or "MatrixRasMillimetres" not in said:
        sentence = f"The transform of {image.session_name} from the scanner to {image.space} is missing."
        raise BadInput(sentence, "haca3-bids writes it to the folder of the images.")
    return inverse(np.array(said["MatrixRasMillimetres"])) @ read_itk(to_scanner)
