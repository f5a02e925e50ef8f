"""The named weights: address, size and SHA-256. This module does not import torch, so that commands start quickly."""

import logging
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from haca3_bids.digest import file_sha256
from haca3_bids.errors import CannotCreate, Unavailable, UsageError
from haca3_bids.partial import partial_file

logger = logging.getLogger(__name__)

BUILTIN = "builtin"
MEDIAN = "median"  # of the three orientations, instead of a fusion network
AUTO = "auto"
BUILTIN_DIR = Path(__file__).parent / "builtin"
KINDS = ("haca3", "fusion")  # the harmonization networks, or the network that fuses three orientations
TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Entry:
    """One released file."""

    name: str
    kind: str  # one of KINDS
    url: str
    size_bytes: int
    sha256: str
    variant: str | None  # of attention, for the harmonization networks
    description: str


_NO_LICENCE = (
    "The weights have no licence, were trained on data under use agreements, and are downloaded only on request."
)
RELEASED: Mapping[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry("haca3", "haca3", "https://iacl.ece.jhu.edu/~lianrui/haca3/harmonization_public.pt",
              141_094_419, "a002391ff39867ec05c93c5474428524d7e3e05cb41558869fbc16119b263776", "haca3",
              f"HACA3 as its authors released it (Zuo et al. 2023). {_NO_LICENCE}"),
        Entry("fusion", "fusion", "https://iacl.ece.jhu.edu/~lianrui/haca3/fusion.pt",
              160_541, "0cff9362a8f28fc73a0de3289ffd1fc528fc14635a8e9717ed891745ebc38df3", None,
              f"The authors' fusion network, for HACA3 and HACA3+. {_NO_LICENCE}"),
        Entry("haca3plus", "haca3",
              "https://media.githubusercontent.com/media/shays15/haca3-plus/main/models/haca3-plus_model_38538dab.pt",
              141_094_419, "38538dab87831ac4e180a42f510b92ff0f95f9727ff625d77f688bfa09b9f076", "haca3plus",
              f"HACA3+ as its authors released it (Hays et al., MIDL 2026). {_NO_LICENCE}"),
    )
}  # fmt: skip


def weights_home() -> Path:
    """The folder of downloaded weights: $HACA3_HOME, else ~/.cache/haca3."""
    named = os.environ.get("HACA3_HOME")
    if named:
        return Path(named)
    try:
        return Path.home() / ".cache" / "haca3"
    except RuntimeError:
        raise Unavailable("There is no home directory for downloaded weights.", "Set HACA3_HOME to a folder.") from None


def builtin_path() -> Path:
    """The file of the built-in weights: a mixture model, which requires no fusion network."""
    return BUILTIN_DIR / "mixture.safetensors"


def cached_path(entry: Entry) -> Path:
    """The path of a released file after its download."""
    return weights_home() / f"{entry.name}_{entry.sha256[:8]}{Path(entry.url).suffix}"


def find_by_hash(sha256: str) -> Entry | None:
    """The released file with this SHA-256, if there is one."""
    return next((entry for entry in RELEASED.values() if entry.sha256 == sha256), None)


def fusion_for(weights: str, fusion: str) -> str:
    """The fusion for weights of this name; "auto" is the authors' network for their weights, else the median."""
    if fusion != AUTO:
        return fusion
    return "fusion" if weights in RELEASED else MEDIAN


def check_fusion(mixture: str, fusion: str) -> None:
    """Raise UsageError if a fusion network is given with a mixture model: only HACA3 fuses three orientations."""
    if fusion != MEDIAN:
        raise UsageError(
            f"--fusion-weights {Path(fusion).name} does not apply to {mixture}, which is a mixture model.",
            "Omit it, or choose HACA3 weights with --weights.",
        )


def resolve(name_or_file: str | os.PathLike[str], kind: str = "haca3") -> Path:
    """The file of a registered name (downloaded if necessary) or a path; ``kind`` is one of KINDS.

    Raises Unavailable (exit status 69) if the file does not exist or cannot be downloaded.
    """
    name = os.fspath(name_or_file)
    if name == BUILTIN and kind == "fusion":
        raise Unavailable("There is no built-in fusion network.", "Use median, fusion (the authors') or a file.")
    if name == BUILTIN:
        return _existing(builtin_path(), "The built-in weights")
    if name in RELEASED:
        if RELEASED[name].kind != kind:
            builtin = [BUILTIN] if kind == "haca3" else []
            fitting = [*builtin, *(entry.name for entry in RELEASED.values() if entry.kind == kind)]
            raise Unavailable(
                f"{name} contains {RELEASED[name].kind} weights, but {kind} weights are required.",
                f"Choose one of {', '.join(fitting)}, or a file.",
            )
        return fetch(name)
    return _existing(Path(name), f"The weights file {name}")


def fetch(name: str) -> Path:
    """The released file of this name, downloaded to ``weights_home()`` if it is missing; its hash is checked."""
    if name not in RELEASED:
        raise Unavailable(f"No weights are called {name}.", f"The names are {', '.join([BUILTIN, *RELEASED])}.")
    entry = RELEASED[name]
    path = cached_path(entry)
    if path.is_file() and path.stat().st_size == entry.size_bytes and file_sha256(path) == entry.sha256:
        return path
    logger.info("Downloading %s (%.1f MB) from %s. %s", name, entry.size_bytes / 1e6, entry.url, entry.description)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial_file(path) as partial:
            _download(entry, partial)
    except OSError as error:
        hint = "Set HACA3_HOME to a folder you can write to."
        raise CannotCreate(f"{path} cannot be written ({error.strerror or error}).", hint) from error
    return path


def _existing(path: Path, what: str) -> Path:
    if path.is_file():
        return path
    names = ", ".join([BUILTIN, *RELEASED])
    raise Unavailable(f"{what} cannot be found.", f"Use an existing file, or one of the names {names}.")


def _download(entry: Entry, partial: Path) -> None:
    """Download a file and check its hash.

    pooch 1.9 would create files of mode 600, also in a shared folder, and takes 0.6 s to import.
    """
    try:
        with urllib.request.urlopen(entry.url, timeout=TIMEOUT_S) as answer, partial.open("wb") as file:
            shutil.copyfileobj(answer, file)
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        raise Unavailable(
            f"{entry.name} cannot be downloaded from {entry.url} ({getattr(error, 'reason', None) or error}).",
            f"Without a network, download the file on another machine and copy it to {cached_path(entry)}.",
        ) from error
    size, sha256 = partial.stat().st_size, file_sha256(partial)
    if (size, sha256) == (entry.size_bytes, entry.sha256):
        return
    cause = "The download was interrupted: try again." if size < entry.size_bytes else "The file there has changed."
    raise Unavailable(
        f"{entry.url} gave {size} bytes with SHA-256 {sha256}; expected {entry.size_bytes} bytes with {entry.sha256}.",
        cause,
    )
