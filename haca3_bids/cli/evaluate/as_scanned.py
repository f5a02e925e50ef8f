"""Scans before preprocessing, on the grid of the preprocessed images, through the transforms of haca3-bids."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from haca3_bids.bids.results import TemplateImage, sidecar_of
from haca3_bids.errors import BadInput

if TYPE_CHECKING:
    from haca3_bids.volumes.volume import Volume

AS_SCANNED = "as scanned"


def as_scanned(image: TemplateImage, grid: Volume, raw: Path) -> Volume:
    """The scan in the dataset ``raw`` from which a preprocessed image was made; BadInput if it is not found."""
    from haca3_bids.preprocessing.resampling import resample
    from haca3_bids.preprocessing.transforms import read_itk
    from haca3_bids.volumes.volume import load_volume

    folder = image.path.parent
    stem = f"{image.session_name}_from-{{}}_to-{{}}_mode-image_xfm.txt"
    to_template = sorted(folder.glob(stem.format("*", image.space)))
    if len(to_template) != 1:
        raise BadInput(
            f"The transform of {image.session_name} to {image.space} is missing.",
            "haca3-bids writes it to the folder of the images.",
        )
    pull = read_itk(to_template[0])
    reference = to_template[0].name.partition("_from-")[2].partition("_to-")[0]
    if reference != image.contrast:
        pull = read_itk(folder / stem.format(image.contrast, reference)) @ pull
    return resample(load_volume(_scan(image, raw), forced=True), grid, pull)  # haca3-bids has accepted its header


def _scan(image: TemplateImage, raw: Path) -> Path:
    sources = sidecar_of(image.path).get("Sources", [])
    found: list[Path] = [raw / str(source).rpartition(":")[2] for source in sources]
    if not found or not found[0].is_file():
        named = found[0].name if found else f"the scan of {image.path.name}"
        raise BadInput(f"{raw.name} does not contain {named}.", "With --raw, give the dataset that was processed.")
    return found[0]
