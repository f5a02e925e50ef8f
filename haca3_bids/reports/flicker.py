"""Two alternating images as an animated SVG without scripts, which respects ``prefers-reduced-motion``.

The second image is shown first, and in print.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from haca3_bids.reports.pixels import data_uri, jpeg, save, three_planes
from haca3_bids.volumes.volume import Volume

POINTS_MM = ((-6.0, -18.0, 12.0), (-34.0, 4.0, 36.0))  # sagittal, coronal and axial position of each row
SECONDS = 2.4  # of one turn
STYLE = f"""
.second {{ animation: second {SECONDS}s step-end infinite; }}
.first-name {{ animation: first {SECONDS}s step-end infinite; }}
@keyframes second {{ 0% {{ opacity: 1; }} 50% {{ opacity: 0; }} }}
@keyframes first {{ 0% {{ opacity: 0; }} 50% {{ opacity: 1; }} }}
@media (prefers-reduced-motion: reduce) {{
  .second {{ animation: none; }} .first-name {{ animation: none; opacity: 0; }}
}}
text {{ font: 600 13px system-ui, "DejaVu Sans", sans-serif; fill: #ffe066; }}
"""


def draw_flicker(first: Volume, second: Volume, names: Sequence[str], path: Path, whites: Sequence[float]) -> None:
    """Write an SVG in which two volumes in the same space alternate, with two rows of three planes each.

    ``whites`` are the intensities shown as white.
    """
    pictures = [_rows(volume, white) for volume, white in zip((first, second), whites, strict=True)]
    height, width = pictures[0][0], pictures[0][1]
    size = f'width="{width}" height="{height}"'
    images = "\n".join(
        f'<image class="{kind}" {size} href="{address}"/>'
        for kind, (_, _, address) in zip(("first", "second"), pictures, strict=True)
    )
    labels = "\n".join(
        f'<text class="{kind}" x="{x}" y="18" text-anchor="{anchor}">{escape(name)}</text>'
        for kind, x, anchor, name in zip(("first-name", "second"), (8, width - 8), ("start", "end"), names, strict=True)
    )
    drawing = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {size}>\n'
        f"<style>{STYLE}</style>\n{images}\n{labels}\n</svg>\n"
    )
    save(drawing.encode(), path)


def _rows(volume: Volume, white: float) -> tuple[int, int, str]:
    """Height, width and data URI of the picture of a volume."""
    pixels = np.concatenate([three_planes(volume, point, "grey", white) for point in POINTS_MM])
    return pixels.shape[0], pixels.shape[1], data_uri(jpeg(pixels), "image/jpeg")
