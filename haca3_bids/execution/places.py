"""The folders of a run: input, output, scratch, logs; checked before anything is written."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

from haca3_bids.bids.atomic import make_folder
from haca3_bids.errors import CannotCreate, UsageError
from haca3_bids.settings import Settings


def check_places(settings: Settings) -> None:
    """Raise UsageError when input, output and scratch folders do not go together. Writes nothing.

    The output may lie in the input's own ``derivatives`` folder, where BIDS foresees it, and nowhere else in it.
    """
    bids_dir, output_dir = settings.bids_dir.resolve(), settings.output_dir.resolve()
    if not bids_dir.is_dir():
        raise UsageError(f"There is no folder {settings.bids_dir}.", "BIDS_DIR is the top folder of the input dataset.")
    foreseen = bids_dir / "derivatives"
    if _inside(output_dir, bids_dir) and (output_dir == foreseen or not _inside(output_dir, foreseen)):
        raise UsageError(
            f"The output {settings.output_dir} lies inside the input.",
            f"Give a folder outside, or one in {foreseen}.",
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
    """The command line without this machine's paths: known folders by their role, other paths by their last part."""
    roles = {settings.bids_dir: "BIDS_DIR", settings.output_dir: "OUTPUT_DIR", settings.execution.work_dir: "WORK_DIR"}
    return " ".join(["haca3-bids", *(_shareable(word, roles) for word in words)])


def _shareable(word: str, roles: dict[Path | None, str]) -> str:
    head, sign, tail = word.partition("=")
    if sign and "/" in tail and "/" not in head:
        return f"{head}={_shareable(tail, roles)}"
    path = Path(word).expanduser().resolve()
    for folder, role in roles.items():
        if folder is not None and path.is_relative_to(folder):
            rest = str(path.relative_to(folder))
            return role if rest == "." else f"{role}/{rest}"
    return Path(word).name if "/" in word else word


def _inside(path: Path, folder: Path) -> bool:
    return path == folder or path.is_relative_to(folder)
