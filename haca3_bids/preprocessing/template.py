"""The template: MNI152NLin2009cSym of TemplateFlow, or the ICBM 2009a template of nilearn."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from haca3_bids.errors import TemporaryFailure, Unavailable
from haca3_bids.preprocessing.head import dilated
from haca3_bids.private import private_folder, temporary_folder
from haca3_bids.settings import TEMPLATE_SPACES
from haca3_bids.volumes.builtin import load_icbm2009a
from haca3_bids.volumes.scan import DAMAGED, read_to_end
from haca3_bids.volumes.volume import Volume, load_volume

LOGGER = logging.getLogger("haca3_bids")
DEFAULT = "MNI152NLin2009cSym"
BUILTIN = "builtin"
BRAIN_THRESHOLD = 0.1  # of the built-in, skull-stripped template's maximum: above is brain
FILES: dict[str, dict[str, str | None]] = {  # TemplateFlow's description of each required image
    "head": {"desc": None, "suffix": "T1w"},
    "brain": {"desc": "brain", "suffix": "mask"},
    "white": {"label": "WM", "suffix": "probseg"},
}
SMALLEST_FILE = 1000  # bytes: TemplateFlow leaves empty files if a download fails
LOCK, PATIENCE_S = ".haca3.lock", 900.0  # in the template's folder, while one process downloads
LONGEST_CAUSE = 120  # characters of another library's message
HINT = "Connect once to download it, set TEMPLATEFLOW_HOME to a filled cache, or use --template builtin."


@dataclass(frozen=True)
class Template:
    """A head or brain, its brain mask (0 or 1) and the probability of white matter (0..1), on one 1 mm grid."""

    name: str
    space: str  # label of the files in it
    head: Volume
    brain: Volume
    white_matter: Volume
    has_skull: bool

    def without_skull(self, rim_mm: float = 0.0) -> Template:
        """The template with only the brain and a rim around it."""
        kept = dilated(self.brain.data > 0.5, self.head.zooms_mm, rim_mm)
        return replace(self, head=self.head.with_data(self.head.data * kept), has_skull=False)


def load_template(name: str) -> Template:
    """The template ``MNI152NLin2009cSym`` or ``builtin``; Unavailable (69) if it cannot be found or downloaded."""
    if name == BUILTIN:
        return _builtin()
    files = check_template(name)
    brain, white = load_volume(files["brain"]), load_volume(files["white"])
    return Template(
        name,
        TEMPLATE_SPACES[name],
        load_volume(files["head"]),
        brain.with_data((brain.data > 0.5).astype(np.float32)),
        white.with_data(white.data / max(float(white.data.max()), 1e-6)),
        has_skull=True,
    )


def check_template(name: str) -> dict[str, Path]:
    """The files of a template, downloaded if necessary; none for the built-in one. Raises Unavailable.

    Each file is read to its end, which takes a fifth of a second, so that this can be called before the first subject.
    """
    if name not in TEMPLATE_SPACES:
        raise Unavailable(f"There is no template {name!r}.", f"Choose one of {', '.join(TEMPLATE_SPACES)}.")
    if name == BUILTIN:
        return {}
    lacking = _lacking(name)
    with _download_lock(lacking[0].parent) if lacking else nullcontext():
        files = {part: _fetched(name, part, query) for part, query in FILES.items()}
    for path in files.values():
        if not is_complete(path):
            raise Unavailable(
                f"The file {path} of the template {name} is not complete: its download was interrupted.",
                f"Empty it (: > {path}), so that it is downloaded again, or use --template builtin.",
            )
    return files


def is_complete(path: Path) -> bool:
    """Whether a compressed file can be read to its end, where its checksum is; any other file, if it is not a stub."""
    try:
        stamp = path.stat()
    except OSError:
        return False
    if path.suffix != ".gz":
        return stamp.st_size >= SMALLEST_FILE
    return stamp.st_size > 0 and _is_readable(path, (stamp.st_size, stamp.st_mtime_ns))


@lru_cache(maxsize=len(FILES))
def _is_readable(path: Path, _state: tuple[int, int]) -> bool:
    """The same, found out once for each state of the file (size, time of its last change)."""
    try:
        read_to_end(path)
    except DAMAGED:
        return False
    return True


def _lacking(name: str) -> list[Path]:
    """The listed files of a template that are to be downloaded, or are being downloaded by another process."""
    with suppress(Exception):  # as in _fetched, which says what is wrong
        client = _client()
        listed = [Path(path) for query in FILES.values() for path in client.ls(name, resolution=1, **query)]
        return [path for path in listed if not is_complete(path)]
    return []


@contextmanager
def _download_lock(folder: Path) -> Iterator[None]:
    """Let one process download into a folder of the cache while the others wait, if the folder can be locked."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK, mode=0o666, fallback_to_soft=False)
    try:
        lock.acquire(timeout=PATIENCE_S)
    except Timeout:
        raise TemporaryFailure(
            f"Another process is downloading the template into {folder}.", "Wait until it has finished, then try again."
        ) from None
    except OSError:  # a folder that cannot be written to, a file system without locks
        LOGGER.debug("%s cannot be locked", folder)
    try:
        yield
    finally:
        lock.release()


def _fetched(name: str, part: str, query: dict[str, str | None]) -> Path:
    found: object = None
    cause = "it is not in the cache"
    try:
        found = _client().get(name, resolution=1, raise_empty=True, **query)
    except Exception as error:  # network, cache, server: each library raises its own
        cause = f"{type(error).__name__}: {str(error)[:LONGEST_CAUSE] or 'no reason given'}".splitlines()[0]
    paths = [Path(str(path)) for path in (found if isinstance(found, list) else [found]) if path]
    usable = [path for path in paths if path.is_file() and path.stat().st_size >= SMALLEST_FILE]
    if len(usable) == 1:
        return usable[0]
    if paths and not usable:
        cause = f"{paths[0].name} is an empty file: it was listed, but not downloaded"
    elif usable:
        cause = f"{len(usable)} files match the same description"
    raise Unavailable(
        f"The {part} image of the template {name} is not in the cache and cannot be downloaded ({cause}).", HINT
    )


def _client() -> Any:
    """TemplateFlow, imported only when needed, because the import creates its cache."""
    _ensure_home()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # about the new cache
        from templateflow import api
    return api


def _ensure_home() -> None:
    """Use a temporary cache for TemplateFlow if there is no writable home."""
    if os.environ.get("TEMPLATEFLOW_HOME"):
        return
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path(os.environ.get("HOME") or "/proc/none") / ".cache")
    try:
        home.mkdir(parents=True, exist_ok=True)
        usable = os.access(home, os.W_OK) and home.is_absolute()
    except OSError:
        usable = False
    if not usable:
        home = private_folder(temporary_folder() / f"haca3-templateflow-{os.getuid()}")
        os.environ["TEMPLATEFLOW_HOME"] = str(home)


def _builtin() -> Template:
    maps = load_icbm2009a()
    head = maps["brain"]
    brain = head.with_data(head.data > BRAIN_THRESHOLD * head.data.max())
    return Template(BUILTIN, TEMPLATE_SPACES[BUILTIN], head, brain, maps["white"], has_skull=False)
