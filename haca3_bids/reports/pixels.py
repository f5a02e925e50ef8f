"""Planes of a volume as RGB pixels, in grey, in colour or as a difference."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from haca3_bids.partial import partial_file
from haca3_bids.reports.planes import PLANES, UPRIGHT, cut
from haca3_bids.volumes.volume import Volume, reorient

Pixels = NDArray[np.uint8]  # (height, width, 3), first row at the top
PIXELS_PER_MM = 0.85
JPEG_QUALITY = 82
POSITIONS_MM = {  # of the slices of the slider, in the template's frame; the middle one is shown first
    "sagittal": (-46.0, -32.0, -18.0, -6.0, 18.0, 32.0, 46.0),
    "coronal": (-78.0, -58.0, -38.0, -18.0, 2.0, 22.0, 42.0),
    "axial": (-32.0, -17.0, -2.0, 12.0, 26.0, 40.0, 54.0),
}
SLICES = len(POSITIONS_MM["axial"])
COOL, WARM = np.array([70, 150, 255]), np.array([255, 160, 30])  # decrease, increase: safe for colour blindness


def grey(values: NDArray[np.floating], white: float) -> Pixels:
    """Values in shades of grey, from 0 as black to ``white`` as white."""
    shade = np.clip(np.nan_to_num(values) / max(white, 1e-6), 0, 1) * 255
    return np.repeat(shade.astype(np.uint8)[..., None], 3, axis=2)


def difference(values: NDArray[np.floating], limit: float) -> Pixels:
    """Differences in colour: orange for an increase, blue for a decrease, black for 0, saturated at ``limit``."""
    share = np.clip(np.nan_to_num(values) / max(limit, 1e-6), -1, 1)[..., None]
    return np.where(share > 0, share * WARM, -share * COOL).astype(np.uint8)


def coloured(values: NDArray[np.floating], top: float) -> Pixels:
    """Values in the cividis colour map (safe for colour blindness), black at 0 and yellow at ``top``."""
    from matplotlib import colormaps

    share = np.clip(np.nan_to_num(values) / max(top, 1e-6), 0, 1)
    shown: Any = colormaps["cividis"](share)[..., :3] * (share > 0)[..., None]
    return np.asarray(shown * 255, np.uint8)


PAINTERS = {"grey": grey, "difference": difference, "coloured": coloured}


def three_planes(volume: Volume, positions_mm: Sequence[float], painter: str, top: float) -> Pixels:
    """Sagittal, coronal and axial planes side by side on black; positions have the order of PLANES."""
    pictures = [cut(volume, plane, position) for plane, position in zip(PLANES, positions_mm, strict=True)]
    tiles = [
        _sized(PAINTERS[painter](picture.pixels[::-1], top), picture.width_mm, picture.height_mm)
        for picture in pictures
    ]
    height = max(tile.shape[0] for tile in tiles)
    return np.concatenate([_centred(tile, height) for tile in tiles], axis=1)


def slice_rows(volume: Volume, painter: str, top: float) -> Pixels:
    """SLICES rows of three planes, one below the other, for the slider."""
    upright = reorient(volume, UPRIGHT)  # once, not for each plane
    places = zip(*(POSITIONS_MM[plane] for plane in PLANES), strict=True)
    return np.concatenate([three_planes(upright, place, painter, top) for place in places])


def jpeg(pixels: Pixels) -> bytes:
    """The pixels as the bytes of a reproducible JPEG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return file.getvalue()


def save_jpeg(pixels: Pixels, path: Path) -> None:
    """Write the pixels as a JPEG file."""
    save(jpeg(pixels), path)


def save(content: bytes, path: Path) -> None:
    """Write the content of a figure atomically; its folder is created if necessary."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with partial_file(path) as partial:
        partial.write_bytes(content)


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height of an image file in pixels."""
    with Image.open(path) as picture:
        width, height = picture.size
    return width, height


def middle_slice(path: Path) -> Pixels:
    """The middle row of a file with the rows of ``slice_rows``."""
    with Image.open(path) as picture:
        row = picture.height // SLICES
        return np.asarray(picture.crop((0, row * (SLICES // 2), picture.width, row * (SLICES // 2 + 1))))


def data_uri(content: bytes, mime: str) -> str:
    """The content as a data URI."""
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def _sized(pixels: Pixels, width_mm: float, height_mm: float) -> Pixels:
    size = (max(1, round(width_mm * PIXELS_PER_MM)), max(1, round(height_mm * PIXELS_PER_MM)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))


def _centred(tile: Pixels, height: int) -> Pixels:
    above = (height - tile.shape[0]) // 2
    return np.pad(tile, ((above, height - tile.shape[0] - above), (0, 0), (0, 0)))
