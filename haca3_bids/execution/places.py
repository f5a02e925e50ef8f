"""The folders of a run: input, output, scratch, logs; checked before anything is written."""

import itertools
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path

from haca3_bids.bids.atomic import make_folder
from haca3_bids.errors import CannotCreate, UsageError
from haca3_bids.settings import Settings


def check_places(settings: Settings) -> None:
    """Raise UsageError if one of the input, output and scratch folders contains another. Writes nothing.

    As in BIDS, the output may be inside the input's ``derivatives`` folder, but nowhere else in the input.
    """
    bids_dir, output_dir = settings.bids_dir.resolve(), settings.output_dir.resolve()
    if not bids_dir.is_dir():
        raise UsageError(f"There is no folder {settings.bids_dir}.", "BIDS_DIR is the top folder of the input dataset.")
    foreseen = bids_dir / "derivatives"
    if _inside(output_dir, bids_dir) and (output_dir == foreseen or not _inside(output_dir, foreseen)):
        raise UsageError(
            f"The output {settings.output_dir} lies inside the input.", f"Give a folder outside, or one in {foreseen}."
        )
    if _inside(bids_dir, output_dir):
        raise UsageError(f"The input {settings.bids_dir} lies inside the output.", "Give another OUTPUT_DIR.")
    work = settings.execution.work_dir
    if work is not None and _inside(work.resolve(), bids_dir):
        raise UsageError(f"The scratch folder {work} lies inside the input.", "Give --work-dir a folder elsewhere.")
    if work is not None and _inside(output_dir, work.resolve()):
        raise UsageError(f"The output {output_dir} lies inside the scratch folder.", "Give another --work-dir.")
    if output_dir.exists() and not output_dir.is_dir():
        raise CannotCreate(f"The output {settings.output_dir} is a file, not a folder.")


def log_folder(settings: Settings) -> Path:
    """A new folder ``logs/<run>`` in the output, named by time."""
    run = f"{time.strftime('%Y%m%d-%H%M%S')}_{secrets.token_hex(3)}"
    return make_folder(settings.output_dir / "logs" / run)


def shareable_command(words: list[str], settings: Settings) -> str:
    """The command line without local paths: known folders by their role, other paths by their last part."""
    roles = {settings.bids_dir: "BIDS_DIR", settings.output_dir: "OUTPUT_DIR"}
    if settings.execution.work_dir is not None:
        roles[settings.execution.work_dir] = "WORK_DIR"
    innermost_first = dict(sorted(roles.items(), key=lambda pair: -len(pair[0].parts)))
    return " ".join(["haca3-bids", *(shareable_word(word, innermost_first) for word in words)])


def shareable_word(word: str, roles: Mapping[Path, str]) -> str:
    """A word of a command line without local paths: ``roles`` are the known folders, the innermost first.

    A word without a slash is only replaced if it is one of the folders.
    """
    head, sign, tail = word.partition("=")
    if sign and "/" not in head and ("/" in tail or head.startswith("--")):
        return f"{head}={shareable_word(tail, roles)}"
    typed = Path(word).absolute() if not word.startswith("~/") else Path(word).expanduser()
    # as typed first, since annexed files are links
    places = (Path(os.path.normpath(typed)), Path(os.path.realpath(typed)))
    if "/" not in word:
        return next((roles[place] for place in places if place in roles), word)
    for place, folder in itertools.product(places, roles):
        if place.is_relative_to(folder):
            rest = str(place.relative_to(folder))
            return roles[folder] if rest == "." else f"{roles[folder]}/{rest}"
    return places[0].name


def _inside(path: Path, folder: Path) -> bool:
    return path == folder or path.is_relative_to(folder)
