"""What a training is: the record in its folder, by which another training is not taken for the same one resumed.

The length of the training and the machine are no part of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from haca3_bids import __version__
from haca3_bids.bids.atomic import make_folder, read_json, write_json
from haca3_bids.digest import SHORT
from haca3_bids.errors import BadInput
from haca3_bids.records.files import to_json

if TYPE_CHECKING:
    from torch import nn

RUN = "run.json"  # in the folder of a training
CHECKPOINT = "last.pt"  # in this folder, once something has been trained
RANDOM = "random"  # initial weights
SHA256 = 64  # hexadecimal digits


def claim(folder: Path, run: Mapping[str, Any], *, leads: bool = True, file: str = RUN) -> None:
    """Write into ``folder`` what is trained there; BadInput if it contains another training.

    What an older record does not say is not compared. ``leads``: whether this process writes.
    """
    wanted = json.loads(to_json(run))
    found = read_json(folder / file) or {}
    differing = [key for key in wanted if found.get(key, wanted[key]) != wanted[key]]
    if differing and (folder / CHECKPOINT).exists():
        told = "; ".join(_difference(key, found[key], wanted[key]) for key in differing)
        raise BadInput(
            f"{folder} contains another training: {told}.",
            f"Use another folder (--out), or delete {folder} to train from the beginning.",
        )
    if leads and found != wanted:
        write_json(make_folder(folder) / file, wanted)


def _difference(key: str, was: object, now: object) -> str:
    """A difference in words; the content of lists and tables is not told, and of a SHA-256 only the first digits."""
    name = key.replace("_", " ")
    if isinstance(was, dict | list):
        return f"other {name}"
    one, other = (f"{text[:SHORT]}..." if len(text := str(value)) == SHA256 else text for value in (was, now))
    return f"{name} {one}, not {other}"


def card_of(folder: Path) -> dict[str, str]:
    """The model card of what was trained in ``folder``: numbers, but no names of scans or files."""
    run = read_json(folder / RUN)
    if run is None:
        return {"made by": "haca3 train"}
    sessions, told = run.get("sessions", {}), {k: str(v) for k, v in run.items() if not isinstance(v, dict | list)}
    counts = {"label maps": run.get("label_maps", {}), "sessions": sessions}
    counts["sites"] = {one["site"] for one in sessions.values()}
    card = {"made by": f"haca3 train {told.pop('trained')}, haca3_bids {__version__}"}
    card["data"] = ", ".join(f"{name}: {len(found)}" for name, found in counts.items() if found)
    return card | {key.replace("_", " "): value for key, value in told.items()}


def weights_digest(network: nn.Module) -> str:
    """A short hash of the weights."""
    return arrays_digest(tensor.cpu().numpy() for tensor in network.state_dict().values())


def arrays_digest(arrays: Iterable[NDArray[np.generic]]) -> str:
    """A short hash of the values."""
    whole = hashlib.sha256()
    for array in arrays:
        whole.update(np.ascontiguousarray(array).data)
    return whole.hexdigest()[:12]
