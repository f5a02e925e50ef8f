"""Reading of tables and images for the experiments, and conversion of errors."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from haca3_bids.arrays import Mask
from haca3_bids.bids.lenient import read_lines
from haca3_bids.bids.participants import NO_VALUE, cells_of
from haca3_bids.errors import BadInput, UsageError

if TYPE_CHECKING:
    from haca3_bids.volumes.volume import Volume

Line = dict[str, str]
TABLE = "A text file with tabs between columns is needed."
IN_TEMPLATE_SPACE = "Compare images in template space."


@contextmanager
def bad_input(about: str = "") -> Iterator[None]:
    """Convert a ValueError of the block, which describes the input, to BadInput; ``about`` precedes its message."""
    try:
        yield
    except ValueError as error:
        sentence = f"{about}: {error}" if about else f"{error}"[:1].upper() + f"{error}"[1:]
        raise BadInput(f"{sentence}.") from error


def load(path: Path, *, may_be_constant: bool = False) -> Volume:
    """The image in a file; raises BadInput as ``load_volume`` does, which is slow to import."""
    from haca3_bids.volumes.volume import load_volume

    return load_volume(path, may_be_constant=may_be_constant)


def has_data(image: Volume) -> Mask:
    """The voxels of an image that are not blank, as those outside its field of view are."""
    from haca3_bids.intensity.blank import blank_mask

    return ~blank_mask(image.data)


def check_grid(
    image: Volume, path: Path, other: Volume, other_path: Path, hint: str = "Resample one to the other."
) -> None:
    """Raise BadInput if two images do not lie on the same grid."""
    if not image.has_grid_of(other):
        raise BadInput(f"{path.name} does not share the grid of {other_path.name}.", hint)


def read_table(path: Path, columns: Sequence[str], hint: str = "") -> list[Line]:
    """The rows of a tab-separated table; BadInput if it has none, or lacks one of the ``columns``.

    Any line ending and text encoding is accepted. Cells that are missing at the end of a row are empty. ``hint`` says
    how to choose other columns.
    """
    try:
        known, *rows = cells_of(read_lines(path)) or [[]]
    except OSError as error:
        raise BadInput(f"{path.name} cannot be read.", TABLE) from error
    if any("\0" in cell for row in (known, *rows) for cell in row):
        raise BadInput(f"{path.name} is not a text file.", TABLE)
    lines = [dict(zip_longest(known, row[: len(known)], fillvalue="")) for row in rows]
    missing = [name for name in columns if name not in known]
    if missing:
        found = f"It has {', '.join(known) or 'none'}{f'; {hint}' if hint else ''}."
        sentence = f"{path.name} has no column {' or '.join(missing)}."
        raise BadInput(sentence, TABLE if len(known) == 1 and "," in known[0] else found)
    if not lines:
        raise BadInput(f"{path.name} has no rows.", "One row per session is needed, below the names of the columns.")
    return lines


def check_complete(lines: Sequence[Line], columns: Sequence[str], path: Path) -> None:
    """Raise BadInput if a row of a table has no value in one of the ``columns``, of which the first is the person."""
    for place, line in enumerate(lines, 1):
        for key in columns:
            if line[key].casefold() in NO_VALUE:
                row = f"Row {place}" if key == columns[0] else line[columns[0]]
                raise BadInput(f"{row} has no {key} in {path.name}.", "Remove such lines.")


def number(text: str, name: str) -> float:
    """The finite number in a cell of column ``name``; BadInput if it is not one."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise BadInput(f"'{text}' in column {name} is not a number.", "Correct it, or remove its row.")
    return found


def check_unused(args: argparse.Namespace, options: Iterable[str], needed: str) -> None:
    """Raise UsageError if one of the ``options`` is given that only ``needed`` input has."""
    for name in options:
        if getattr(args, name) != args.default_of(name):
            raise UsageError(f"--{name.replace('_', '-')} has no effect here.", f"It applies to {needed} only.")
